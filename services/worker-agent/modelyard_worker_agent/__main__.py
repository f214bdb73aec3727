import sys

from modelyard_worker_agent.main import main

sys.exit(main(sys.argv[1:]))
