import sys

from modelyard_api.main import main

sys.exit(main(sys.argv[1:]))
