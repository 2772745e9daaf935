"""Print as JSON the cases of the suite: [[id, bytes of a compressed message or 0], ...].

Runs on CPython 2.7, inside the environment that holds the Autobahn test suite.
"""

import json
import sys

from autobahntestsuite.case import CaseBasename, CaseCategories, Cases, CaseSubCategories
from autobahntestsuite.caseset import CaseSet

caseset = CaseSet("WebSocket", CaseBasename, Cases, CaseCategories, CaseSubCategories)
found = []
for one in caseset.Cases:
    name = caseset.caseClasstoId(one)
    size = one.LEN if name.startswith(("12.", "13.")) else 0
    found.append([name, size])
sys.stdout.write(json.dumps(found))
