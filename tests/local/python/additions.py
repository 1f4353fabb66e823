"""MiniStack 1.5 with what it lacks, or gets wrong, of what the template and its runbooks need.

Each addition says what AWS does. Whatever else MiniStack does is its own.
"""

import functools

from ministack.core import iam_actions
from ministack.core.responses import new_uuid
from ministack.services import cloudwatch
from ministack.services.cloudformation import changesets, engine, handlers, provisioners
from samtranslator.translator import transform as sam


def around(module, name):
    """Replaces a function of MiniStack's by one that is given the original first."""
    original = getattr(module, name)

    def replace(addition):
        setattr(module, name, functools.partial(addition, original))
        return addition

    return replace


@around(iam_actions, "extract_iam_action")
def action(original, *request):
    """A batch needs the right to its single action; there is no other in IAM."""
    action = original(*request)
    return action.removesuffix("Batch") if (action or "").startswith("sqs:") else action


@around(cloudwatch, "_evaluate_alarm")
def evaluate(original, alarm):
    """An alarm looks at the metric of its dimensions, and at no other of the same name."""
    dimensions = cloudwatch._dims_key(cloudwatch._dims_from_list(alarm["Dimensions"]))
    metrics = cloudwatch._metrics
    own = {key: points for key, points in metrics.items() if key[2] == dimensions}
    cloudwatch._metrics = own
    try:
        original(alarm)
    finally:
        cloudwatch._metrics = metrics


@around(provisioners, "_lambda_esm_create")
def create_mapping(original, logical_id, properties, stack_name):
    """A parameter is text, and CloudFormation makes the number of it that a property is."""
    return original(logical_id, with_numbers(properties), stack_name)


@around(provisioners, "_lambda_esm_update")
def update_mapping(original, physical_id, old, new, *rest):
    """As above."""
    return original(physical_id, with_numbers(old), with_numbers(new), *rest)


def with_numbers(properties):
    scaling = {name: int(value) for name, value in properties.get("ScalingConfig", {}).items()}
    return {**properties, "ScalingConfig": scaling} if scaling else properties


def apply_transforms(original, template, given=None, previous=None):
    """SAM knows the values of the parameters."""
    parameters = engine._transform_parameters(template, given, previous)
    translate = sam.transform
    sam.transform = lambda template, _, *rest: translate(template, parameters, *rest)
    try:
        return original(template, given, previous)
    finally:
        sam.transform = translate


for module in (changesets, engine, handlers):
    around(module, "_apply_transforms")(apply_transforms)


def keep_query(logical_id, properties, stack_name):
    """A saved query is kept for whoever looks into the console."""
    identifier = new_uuid()
    return identifier, {"QueryDefinitionId": identifier}


resources = provisioners._RESOURCE_HANDLERS
mapping = resources["AWS::Lambda::EventSourceMapping"]
mapping["create"], mapping["update"] = provisioners._lambda_esm_create, provisioners._lambda_esm_update
resources["AWS::Logs::QueryDefinition"] = {"create": keep_query, "delete": lambda *_: None}

if __name__ == "__main__":
    from ministack.app import main

    main()
