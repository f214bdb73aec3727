"""Where an instance goes, or why it can go nowhere: pure functions of a demand, a picture and a policy."""
