"""Whether a Compose file follows the Compose specification.   .ci/compose.py FILE"""

import json
import sys
from pathlib import Path

import yaml
from compose_spec import PyCompose

compose = yaml.safe_load(Path(sys.argv[1]).read_text())  # which knows the merge keys of YAML
print(f"{sys.argv[1]}: {', '.join(sorted(PyCompose.from_json(json.dumps(compose)).service_names()))}")
