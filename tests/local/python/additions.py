"""MiniStack 1.5 with what it lacks, or gets wrong, of what the template and its runbooks need.

Each addition says what AWS does. Whatever else MiniStack does is its own.
"""

import asyncio
import functools
import json
import os
import threading
import time
import types

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id, get_region, json_response, new_uuid
from ministack.services import cloudwatch, cloudwatch_logs, eventbridge, lambda_svc, secretsmanager, sqs
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


recording = threading.RLock()


@around(cloudwatch, "_evaluate_alarm")
def evaluate(original, alarm):
    """An alarm looks at the metric of its dimensions, and at no other of the same name."""
    dimensions = cloudwatch._dims_key(cloudwatch._dims_from_list(alarm["Dimensions"]))
    with recording:
        metrics = cloudwatch._metrics
        cloudwatch._metrics = {key: points for key, points in metrics.items() if key[2] == dimensions}
        try:
            original(alarm)
        finally:
            cloudwatch._metrics = metrics


def record(original, *arguments, **named):
    """Nothing that is recorded is lost; the functions that run record in threads of their own."""
    with recording:
        return original(*arguments, **named)


for name in ("record_metric", "_evict_old_metrics"):
    around(cloudwatch, name)(record)


emit = lambda_svc._emit_lambda_metrics


@around(lambda_svc, "_emit_lambda_metrics")
def emit_throttled(original, name, duration_ms, error, throttle):
    """What is throttled is not invoked, and has this metric alone; MiniStack tells of it twice."""
    if throttle and not duration_ms:
        cloudwatch.record_metric("AWS/Lambda", "Throttles", 1, "Count", {"FunctionName": name})


@around(lambda_svc, "_execute_function_dispatch")
def execute(original, function, config, *rest):
    """Every invocation has its metrics, whoever invokes; MiniStack has none of those that a queue's mapping makes."""
    started = time.time()
    result = original(function, config, *rest)
    emit(config["FunctionName"], (time.time() - started) * 1000, bool(result.get("error")), False)
    return result


def now():
    """CloudWatch's time, which is put forward by as many seconds as a file says: no test waits for a day."""
    try:
        with open(os.environ["CLOUDWATCH_AHEAD"], encoding="ascii") as ahead:
            return time.time() + float(ahead.read())
    except FileNotFoundError:
        return time.time()


cloudwatch.time = types.SimpleNamespace(time=now)


@around(iam_evaluator, "enforce")
def enforce_key(original, access_key, action, service, *rest, resource_arn="*", **context):
    """Who sends to a queue that a customer key seals, or reads a secret, needs the right to that key, too."""
    denied = original(access_key, action, service, *rest, resource_arn=resource_arn, **context)
    for right in KEY_RIGHTS.get(action, ()) if denied is None else ():
        key = key_of(resource_arn)
        denied = denied or (key and original(access_key, right, "kms", *rest, resource_arn=key))
    return denied


KEY_RIGHTS = {
    "sqs:SendMessage": ("kms:Decrypt", "kms:GenerateDataKey"),
    "secretsmanager:GetSecretValue": ("kms:Decrypt",),
}


def key_of(arn):
    queue, (_, secret) = sqs._queue_by_arn(arn), secretsmanager._resolve(arn)
    return queue["attributes"].get("KmsMasterKeyId") if queue else (secret or {}).get("KmsKeyId")


def role_may(role, action, resource):
    """Whether a role has a right."""
    account = get_account_id()
    asked = iam_evaluator.EvalContext(role, "AssumedRole", account, action, resource, get_region())
    policies = iam_evaluator._gather_role_policies(role.rsplit("/", 1)[-1], account)
    return iam_evaluator.evaluate(asked, policies).decision == "Allow"


@around(provisioners, "_lambda_esm_create")
def create_mapping(original, logical_id, properties, stack_name):
    """A parameter is text, and CloudFormation makes the number of it that a property is."""
    check_mapping(properties)
    return original(logical_id, with_numbers(properties), stack_name)


@around(provisioners, "_lambda_esm_update")
def update_mapping(original, physical_id, old, new, *rest):
    """As above."""
    check_mapping(new)
    return original(physical_id, with_numbers(old), with_numbers(new), *rest)


def check_mapping(properties):
    """A mapping receives and deletes in the function's name, and is refused to a role that may not."""
    function, *_ = provisioners._lambda_function_for_cfn_ref(properties["FunctionName"])
    for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes"):
        if not role_may(function["config"]["Role"], f"sqs:{action}", properties["EventSourceArn"]):
            raise ValueError(f"The provided execution role does not have permissions to call {action} on SQS")


@around(lambda_svc, "_emit_lambda_logs")
def write_log(original, function, *rest, **options):
    """The log is written in the function's name: a role that may not write it has none."""
    role, group = function["config"]["Role"], function["config"]["LoggingConfig"]["LogGroup"]
    stream = f"arn:aws:logs:{get_region()}:{get_account_id()}:log-group:{group}:log-stream:any"
    if all(role_may(role, f"logs:{action}", stream) for action in ("CreateLogStream", "PutLogEvents")):
        original(function, *rest, **options)


@around(eventbridge, "_invoke_target")
def invoke_target(original, target, event, rule, *view):
    """A rule delivers where the target's own policy admits it, else to its dead-letter queue, if that admits it."""
    places = [target["Arn"], target.get("DeadLetterConfig", {}).get("Arn")]
    admitted = next((arn for arn in filter(None, places) if admits(arn, rule["Arn"])), None)
    if admitted:
        original({**target, "Arn": admitted}, event, rule, *view)


def admits(arn, rule):
    if ":lambda:" in arn:
        policy, account = lambda_svc.function_policy_for_arn(arn)
        context = {"aws:sourcearn": rule, "aws:sourceaccount": account}
        asked = iam_evaluator.EvalContext(
            "*", "Service", "", "lambda:InvokeFunction", arn, get_region(), service_context=context
        )
        answer = iam_evaluator.evaluate_resource_policy(policy, asked, service="events.amazonaws.com")
        return answer.decision == "Allow"
    return ":sqs:" not in arn or sqs.queue_policy_allows(arn, "events.amazonaws.com", rule, get_account_id())


def with_numbers(properties):
    scaling = {name: int(value) for name, value in properties.get("ScalingConfig", {}).items()}
    return {**properties, "ScalingConfig": scaling} if scaling else properties


@around(provisioners, "_lambda_create")
def create_function(original, logical_id, properties, stack_name):
    """CloudFormation reserves a function's concurrency, too."""
    check_tracing(properties)
    return with_concurrency(original(logical_id, properties, stack_name), properties)


@around(provisioners, "_lambda_update")
def update_function(original, physical_id, old, new, *rest, **options):
    """As above."""
    check_tracing(new)
    return with_concurrency(original(physical_id, old, new, *rest, **options), new)


def check_tracing(properties):
    """Lambda sends traces in the function's name, for which its documentation wants both rights.

    It refuses to make a function that may not; that it does so for the second right, too, is assumed.
    """
    if properties.get("TracingConfig", {}).get("Mode") == "Active":
        for action in ("PutTraceSegments", "PutTelemetryRecords"):
            if not role_may(properties["Role"], f"xray:{action}", "*"):
                raise ValueError(f"The provided execution role does not have permissions to call {action} on XRAY")


def with_concurrency(made, properties):
    reserved = properties.get("ReservedConcurrentExecutions")
    lambda_svc._functions[made[0]]["concurrency"] = reserved and int(reserved)
    return made


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


saved_queries = {}


def save_query(logical_id, properties, stack_name):
    """A saved query is kept for whoever looks for it."""
    identifier = new_uuid()
    named = {"name": properties["Name"], "queryString": properties["QueryString"]}
    saved_queries[identifier] = {"queryDefinitionId": identifier, **named}
    return identifier, {"QueryDefinitionId": identifier}


@around(cloudwatch_logs, "handle_request")
async def describe_saved_queries(original, method, path, headers, body, parameters):
    """Logs lists the saved queries whose names begin so."""
    if not headers.get("x-amz-target", "").endswith(".DescribeQueryDefinitions"):
        return await original(method, path, headers, body, parameters)
    prefix = json.loads(body).get("queryDefinitionNamePrefix", "")
    return json_response({"queryDefinitions": [q for q in saved_queries.values() if q["name"].startswith(prefix)]})


@around(cloudwatch_logs, "_public_log_record")
def discover_fields(original, record):
    """A query finds the fields of a line that is a JSON object, and not those of another."""
    try:
        fields = json.loads(record["@message"])
    except ValueError:
        fields = None
    return {**(fields if isinstance(fields, dict) else {}), **original(record)}


@around(cloudwatch_logs, "_row_from_record")
def leave_out_what_is_not_there(original, record, fields):
    """A row has no field that the line has not."""
    known = cloudwatch_logs._public_log_record(record)
    return original(record, [field for field in fields if field in known])


moves = {}  # the tasks of each queue that messages are moved from, latest first
running = set()  # so that none is collected before its end


def start_move(request, _):
    """What was parked is sent anew, with its attributes, at a limited speed; a queue has one such task at a time."""
    source, destination = request["SourceArn"], request.get("DestinationArn")
    speed = request.get("MaxNumberOfMessagesPerSecond", 500)
    if not all(arn is None or sqs._queue_by_arn(arn) for arn in (source, destination)):
        raise sqs._Err("ResourceNotFoundException", "There is no such queue.", 404)
    policies = [json.loads(queue["attributes"].get("RedrivePolicy", "{}")) for queue in sqs._queues.values()]
    if source not in [policy.get("deadLetterTargetArn") for policy in policies]:
        raise sqs._Err("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
    if not 1 <= speed <= 500:
        raise sqs._Err("InvalidParameterValue", "MaxNumberOfMessagesPerSecond must be between 1 and 500.")
    if any(task["Status"] in ("RUNNING", "CANCELLING") for task in moves.get(source, [])):
        raise sqs._Err("InvalidParameterValue", "There is already a task running.")
    queue = sqs._queue_by_arn(source)
    sqs._refresh_counts(queue)
    task = {
        "TaskHandle": new_uuid(),
        "Status": "RUNNING",
        **request,
        "ApproximateNumberOfMessagesMoved": 0,
        "ApproximateNumberOfMessagesToMove": int(queue["attributes"]["ApproximateNumberOfMessages"]),
        "StartedTimestamp": int(time.time() * 1000),
    }
    moves.setdefault(source, []).insert(0, task)
    moving = asyncio.create_task(move(task, queue, destination, 1 / speed))
    running.add(moving)
    moving.add_done_callback(running.discard)
    return {"TaskHandle": task["TaskHandle"]}


async def move(task, queue, destination, pause):
    while task["Status"] == "RUNNING":
        message = next((m for m in queue["messages"] if m["visible_at"] <= time.time()), None)
        if message is None:
            task["Status"] = "COMPLETED"
            break
        to = sqs._queue_by_arn(destination or message["sys"].get("DeadLetterQueueSourceArn", ""))
        if to is None:
            task.update(Status="FAILED", FailureReason="CouldNotDetermineMessageSource")
            break
        attributes = message["message_attributes"]
        sqs._act_send_message({"MessageBody": message["body"], "MessageAttributes": attributes}, to["url"])
        queue["messages"].remove(message)
        task["ApproximateNumberOfMessagesMoved"] += 1
        await asyncio.sleep(pause)
    if task["Status"] == "CANCELLING":
        task["Status"] = "CANCELLED"


def list_moves(request, _):
    """The latest tasks; only one that runs tells its handle."""
    tasks = moves.get(request["SourceArn"], [])[: request.get("MaxResults", 1)]
    told = [{k: v for k, v in task.items() if k != "TaskHandle" or task["Status"] == "RUNNING"} for task in tasks]
    return {"Results": told}


def cancel_move(request, _):
    """Nothing more is moved; what has been stays where it is."""
    for task in (task for tasks in moves.values() for task in tasks):
        if task["TaskHandle"] == request["TaskHandle"] and task["Status"] == "RUNNING":
            task["Status"] = "CANCELLING"
            return {"ApproximateNumberOfMessagesMoved": task["ApproximateNumberOfMessagesMoved"]}
    raise sqs._Err("ResourceNotFoundException", "There is no such task that runs.", 404)


sqs._HANDLERS.update(StartMessageMoveTask=start_move, ListMessageMoveTasks=list_moves, CancelMessageMoveTask=cancel_move)


resources = provisioners._RESOURCE_HANDLERS
function, mapping = resources["AWS::Lambda::Function"], resources["AWS::Lambda::EventSourceMapping"]
function["create"], function["update"] = provisioners._lambda_create, provisioners._lambda_update
mapping["create"], mapping["update"] = provisioners._lambda_esm_create, provisioners._lambda_esm_update
resources["AWS::Logs::QueryDefinition"] = {
    "create": save_query,
    "delete": lambda identifier, *_: saved_queries.pop(identifier, None),
}

if __name__ == "__main__":
    from ministack.app import main

    main()
