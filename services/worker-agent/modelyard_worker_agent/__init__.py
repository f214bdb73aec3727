"""The agent of one machine: starts model servers, keeps watch over them, says what happened."""
