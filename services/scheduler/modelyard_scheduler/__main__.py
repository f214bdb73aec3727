import sys

from modelyard_scheduler.main import main

sys.exit(main(sys.argv[1:]))
