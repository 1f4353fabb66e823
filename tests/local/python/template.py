"""Reads texts of a template, a JSON array on standard input: each as it stands, and as SAM expands it by default."""

import copy
import json
import logging
import sys

import additions  # it gives SAM the values of the parameters

engine = additions.engine


def read(text):
    template = engine._parse_template(text)
    packaged = copy.deepcopy(template)
    for resource in packaged["Resources"].values():
        if "CodeUri" in resource.get("Properties", {}):
            # As `aws cloudformation package` has it.
            resource["Properties"]["CodeUri"] = "s3://artifacts/bootstrap.zip"
    try:
        return {"template": template, "expanded": engine._apply_transforms(packaged)}
    except Exception as error:
        return {"template": template, "error": str(error)}


logging.disable()
json.dump([read(text) for text in json.load(sys.stdin)], sys.stdout)
