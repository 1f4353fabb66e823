//! The template as a contract: what it promises, and edits that break each promise.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Command, Stdio},
};

use local::{file, python::Python, top};
use serde_json::{Value, json};

const NONE: &Value = &Value::Null;

/// A text of the template, and what it says.
struct Template {
    text: String,
    /// As it stands.
    plain: Value,
    /// As SAM expands it by default; null if SAM refuses.
    expanded: Value,
}

/// Gives all in the template that breaks a promise.
type Promise = (&'static str, fn(&Template) -> Vec<String>);

const PROMISES: [Promise; 25] = [
    ("a batch tells which of its messages failed", |template| {
        let mappings = template.expanded("AWS::Lambda::EventSourceMapping");
        let tells = |mapping: &Value| mapping["FunctionResponseTypes"] == json!(["ReportBatchItemFailures"]);
        wrong(mappings, |_, mapping| tells(mapping))
    }),
    ("a message is away for 6 times the timeout and the longest window", |template| {
        let number = |pointer: &str| template.at(pointer).as_u64().unwrap_or_default();
        let needed =
            6 * number("/Resources/Function/Properties/Timeout") + number("/Parameters/BatchWindowSeconds/MaxValue");
        unless(number("/Resources/SignupQueue/Properties/VisibilityTimeout") >= needed, "VisibilityTimeout")
    }),
    ("both queues keep a message for 14 days, the most there is", |template| {
        let kept = |queue: &Value| queue["MessageRetentionPeriod"] == json!(14 * 24 * 60 * 60);
        wrong(template.plain("AWS::SQS::Queue"), |_, queue| kept(queue))
    }),
    ("the parking queue takes what the sign-up queue gives up, and nothing of any other", |template| {
        let name = template.at("/Resources/SignupQueue/Properties/QueueName/Fn::Sub").as_str().unwrap_or_default();
        let arn = format!("arn:${{AWS::Partition}}:sqs:${{AWS::Region}}:${{AWS::AccountId}}:{name}");
        let allowed = json!({"redrivePermission": "byQueue", "sourceQueueArns": [{"Fn::Sub": arn}]});
        let target = template.at("/Resources/SignupQueue/Properties/RedrivePolicy/deadLetterTargetArn");
        let is_allowed = template.at("/Resources/ParkingQueue/Properties/RedriveAllowPolicy") == &allowed;
        unless(is_allowed && target == &attribute("ParkingQueue", "Arn"), "RedriveAllowPolicy, RedrivePolicy")
    }),
    ("the function parks with a reason before the queue gives up without one", |template| {
        let handler = file("src/handler.rs");
        let last = handler.split("const LAST_RECEIVES: u32 = ").nth(1).and_then(|rest| rest.split(';').next());
        let last: u64 = last.unwrap().parse().unwrap();
        let most = template.at("/Resources/SignupQueue/Properties/RedrivePolicy/maxReceiveCount").as_u64();
        // The most that SQS takes; 50 of them are for what Lambda receives and does not hand over.
        unless(most == Some(1000) && last + 50 <= 1000, "maxReceiveCount")
    }),
    ("what cannot be delivered is parked", |template| {
        let parking = attribute("ParkingQueue", "Arn");
        let places = [
            "/Resources/SignupRule/Properties/Targets/0/DeadLetterConfig/Arn",
            "/Resources/SignupTopicSubscription/Properties/RedrivePolicy/deadLetterTargetArn",
            "/Resources/Function/Properties/EventInvokeConfig/DestinationConfig/OnFailure/Destination",
        ];
        wrong(places.map(|place| (place.to_owned(), template.at(place))), |_, arn| *arn == parking)
    }),
    ("the function may have all the concurrency that its mapping uses", |template| {
        let reserved = template.at("/Resources/Function/Properties/ReservedConcurrentExecutions");
        let most =
            template.at("/Resources/Function/Properties/Events/Signups/Properties/ScalingConfig/MaximumConcurrency");
        let expected = json!({"Fn::If": ["BusInvokesFunction", most, reference("AWS::NoValue")]});
        unless(*reserved == expected && most.is_object(), "ReservedConcurrentExecutions")
    }),
    ("both numbers of the rate are parameters, and the mapping's is the function's", |template| {
        let setting = |name: &str| template.at(&format!("/Resources/Function/Properties/Environment/Variables/{name}"));
        let most =
            template.at("/Resources/Function/Properties/Events/Signups/Properties/ScalingConfig/MaximumConcurrency");
        let right = [
            ("CHAT_RATE_LIMIT", setting("CHAT_RATE_LIMIT") == &reference("ChatRateLimit")),
            ("MAX_CONCURRENCY", setting("MAX_CONCURRENCY") == &reference("MaxConcurrency")),
            ("MaximumConcurrency", most == &reference("MaxConcurrency")),
        ];
        right.into_iter().filter(|(_, is)| !is).map(|(name, _)| name.to_owned()).collect()
    }),
    ("the function takes every choice of the two numbers", |template| {
        let number = |pointer: &str| template.at(pointer).as_u64().unwrap_or_default();
        let (most, least) = ("/Parameters/MaxConcurrency/MaxValue", "/Parameters/ChatRateLimit/MinValue");
        unless(number(most) > 0 && 2 * number(most) <= number(least), "MaxConcurrency, ChatRateLimit")
    }),
    ("no right is wider than it must be, but one that says why", |template| {
        let is_wide = |value: &Value| value.to_string().contains('*');
        let has_reason = template.text.contains("Resource: '*' # X-Ray knows no other\n");
        let is_excused = |sid: &str| sid == "Trace" && has_reason;
        let statements = template.statements().into_iter();
        let wide = statements.filter(|(sid, statement)| {
            let each = |name: &str| list(&statement[name]).into_iter().any(is_wide);
            each("Action") || (each("Resource") && !is_excused(sid)) || is_wide(&statement["Principal"])
        });
        wide.map(|(sid, _)| sid).collect()
    }),
    ("a service may act for nobody but the one that is named", |template| {
        let services = template.statements().into_iter().filter(|(_, statement)| !statement["Principal"].is_null());
        let names = |statement: &Value| {
            let condition = &statement["Condition"];
            !condition["ArnLike"]["aws:SourceArn"].is_null() || !condition["ArnEquals"]["aws:SourceArn"].is_null()
        };
        let open = services.filter(|(_, statement)| statement["Action"] != "sts:AssumeRole" && !names(statement));
        let permission = template.at("/Resources/SignupRuleMayInvoke/Properties/SourceArn");
        let is_of_the_rule = |arn: &Value| {
            let arn = arn["Fn::Sub"].as_str().unwrap_or_default();
            arn.ends_with("/${AWS::StackName}-signups") && !arn.contains('*')
        };
        let named = list(&permission["Fn::If"]);
        let is_named = named.len() == 3 && named.into_iter().skip(1).all(is_of_the_rule);
        let permission = unless(is_named, "SignupRuleMayInvoke");
        open.map(|(sid, _)| sid).chain(permission).collect()
    }),
    ("no key is in the template", |template| {
        unless(template.at("/Resources/AdminKeySecret/Properties/SecretString") == "{}", "SecretString")
    }),
    ("queues, log and secret are encrypted, with the customer's key if there is one", |template| {
        let own = |given: Value| json!({"Fn::If": ["HasKmsKey", reference("KmsKeyArn"), given]});
        let none = reference("AWS::NoValue");
        let managed = json!({"Fn::If": ["HasKmsKey", none, true]});
        let is_sealed = |resource: &Value| match resource["Type"].as_str().unwrap_or_default() {
            "AWS::SQS::Queue" => {
                resource["Properties"]["SqsManagedSseEnabled"] == managed
                    && resource["Properties"]["KmsMasterKeyId"] == own(none.clone())
            }
            "AWS::Logs::LogGroup" | "AWS::SecretsManager::Secret" => {
                resource["Properties"]["KmsKeyId"] == own(none.clone())
            }
            _ => true,
        };
        wrong(object(template.at("/Resources")), |_, resource| is_sealed(resource))
    }),
    ("an update that replaces what holds data leaves it there", |template| {
        let holds = ["AWS::SQS::Queue", "AWS::Logs::LogGroup", "AWS::SecretsManager::Secret"];
        let is_kept = |resource: &Value| {
            !holds.contains(&resource["Type"].as_str().unwrap_or_default())
                || resource["UpdateReplacePolicy"] == "Retain"
        };
        wrong(object(template.at("/Resources")), |_, resource| is_kept(resource))
    }),
    ("the log is the function's, is JSON, and ends", |template| {
        let log = template.at("/Resources/Function/Properties/LoggingConfig");
        let is_ours = log["LogFormat"] == "JSON" && log["LogGroup"] == reference("FunctionLogGroup");
        let ends = template.at("/Resources/FunctionLogGroup/Properties/RetentionInDays");
        unless(is_ours && ends == &reference("LogRetentionDays"), "LoggingConfig, RetentionInDays")
    }),
    ("batches and events go to the version that is published", |template| {
        let alias = reference("FunctionAliaslive");
        let target = &template.expanded["Resources"]["SignupRule"]["Properties"]["Targets"][0]["Arn"]["Fn::If"];
        let right = [
            ("mapping", &template.expanded["Resources"]["FunctionSignups"]["Properties"]["FunctionName"]),
            ("rule", &target[1]),
            ("permission", &template.expanded["Resources"]["SignupRuleMayInvoke"]["Properties"]["FunctionName"]),
        ];
        wrong(right.map(|(name, value)| (name.to_owned(), value)), |_, value| *value == alias)
    }),
    ("a new version is taken back when one of the alarms rings that are there", |template| {
        let group = &template.expanded["Resources"]["FunctionDeploymentGroup"]["Properties"];
        let alarms = list(&group["AlarmConfiguration"]["Alarms"]).into_iter();
        let named: Vec<&str> = alarms.filter_map(|alarm| alarm["Name"]["Ref"].as_str()).collect();
        let there: BTreeSet<String> =
            template.plain("AWS::CloudWatch::Alarm").into_iter().map(|(name, _)| name).collect();
        let taken_back = group["AutoRollbackConfiguration"]["Events"].to_string().contains("STOP_ON_ALARM");
        let missing = named.iter().filter(|name| !there.contains(**name)).map(ToString::to_string);
        missing.chain(unless(taken_back && !named.is_empty(), "AutoRollbackConfiguration")).collect()
    }),
    ("what a version is made of makes a new one", |template| {
        // What belongs to the function, to its alias or to its mapping, whatever the version.
        let others = [
            "AutoPublishAlias",
            "AutoPublishAliasAllProperties",
            "DeploymentPreference",
            "EventInvokeConfig",
            "Events",
            "ReservedConcurrentExecutions",
        ];
        let mut version = template.at("/Resources/Function/Properties").clone();
        for name in others {
            version[name].take();
        }
        let listed = version["Environment"]["Variables"]["VERSION_OF"].take();
        let (used, listed) = (template.parameters_of(&version), template.parameters_of(&listed));
        used.symmetric_difference(&listed).cloned().collect()
    }),
    ("the function reads every setting", |template| {
        let settings = object(template.at("/Resources/Function/Properties/Environment/Variables"));
        let config = file("src/config.rs");
        wrong(settings, |name, _| name == "VERSION_OF" || config.contains(&format!("\"{name}\"")))
    }),
    ("every parameter is described, and has its place in the console", |template| {
        let interface = template.at("/Metadata/AWS::CloudFormation::Interface/ParameterGroups");
        let groups = list(interface).into_iter().flat_map(|group| list(&group["Parameters"]));
        let mut places: Vec<&str> = groups.filter_map(Value::as_str).collect();
        let parameters = object(template.at("/Parameters"));
        places.sort_unstable();
        let all = parameters.iter().map(|(name, _)| name.as_str());
        let all = unless(all.collect::<BTreeSet<_>>().into_iter().eq(places), "ParameterGroups");
        wrong(parameters, |_, parameter| is_text(&parameter["Description"])).into_iter().chain(all).collect()
    }),
    ("what a lint is told to pass over has its reason", |template| {
        let skips = template.text.lines().filter_map(|line| line.split_once("checkov:skip="));
        let bare = skips.filter(|(_, skip)| skip.split_once(": ").is_none_or(|(_, reason)| reason.len() < 20));
        bare.map(|(_, skip)| skip.to_owned()).collect()
    }),
    ("every output is described", |template| {
        wrong(object(template.at("/Outputs")), |_, output| is_text(&output["Description"]))
    }),
    ("there are alarms enough, and each tells somebody when it rings and when it is over", |template| {
        let alarms = template.plain("AWS::CloudWatch::Alarm");
        let enough = unless(alarms.len() >= 12, "fewer than 12 alarms");
        let tells = json!({"Fn::If": ["HasAlarmTopic", [reference("AlarmTopicArn")], reference("AWS::NoValue")]});
        let told = wrong(alarms, |_, alarm| alarm["AlarmActions"] == tells && alarm["OKActions"] == tells);
        told.into_iter().chain(enough).collect()
    }),
    ("each alarm says what silence means", |template| {
        let alarms = template.plain("AWS::CloudWatch::Alarm");
        wrong(alarms, |_, alarm| ["breaching", "notBreaching"].iter().any(|says| alarm["TreatMissingData"] == *says))
    }),
    ("each alarm says what it is, and has a runbook of its name", |template| {
        let runbooks = file("infra/README.md");
        let sections: BTreeSet<&str> = runbooks.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        let has_runbook = |alarm: &Value| {
            let name = alarm["AlarmName"]["Fn::Sub"].as_str().and_then(|name| name.strip_prefix("${AWS::StackName}-"));
            let (text, place) = (alarm["AlarmDescription"].as_str(), " Runbook: infra/README.md#");
            let (says, named) = text.and_then(|text| text.rsplit_once(place)).unwrap_or_default();
            says.len() > 20 && name == Some(named) && sections.contains(named)
        };
        wrong(template.plain("AWS::CloudWatch::Alarm"), |_, alarm| has_runbook(alarm))
    }),
];

/// Edits of the template, and the promise that each breaks.
const EDITS: [(&str, &str, &str); 50] = [
    ("CKV_AWS_173: no setting is secret, and Lambda encrypts all with a key of AWS\n", "CKV_AWS_173\n", "what a lint"),
    ("FunctionResponseTypes: [ReportBatchItemFailures]\n", "FunctionResponseTypes: []\n", "a batch tells"),
    ("VisibilityTimeout: 200", "VisibilityTimeout: 199", "a message is away"),
    ("Timeout: 30\n", "Timeout: 31\n", "a message is away"),
    ("    MinValue: 0\n    MaxValue: 20\n", "    MinValue: 0\n    MaxValue: 21\n", "a message is away"),
    ("MessageRetentionPeriod: 1209600 # 14 days, the most", "MessageRetentionPeriod: 345600 #", "both queues keep"),
    ("MessageRetentionPeriod: 1209600 # 14 days\n", "MessageRetentionPeriod: 1209599\n", "both queues keep"),
    ("redrivePermission: byQueue", "redrivePermission: allowAll", "the parking queue takes"),
    ("QueueName: !Sub '${AWS::StackName}-signups'", "QueueName: !Sub '${AWS::StackName}'", "the parking queue takes"),
    ("${AWS::StackName}-signups'\n\n", "${AWS::StackName}-signups'\n          - '*'\n\n", "the parking queue takes"),
    ("maxReceiveCount: 1000", "maxReceiveCount: 950", "the function parks"),
    ("          DeadLetterConfig:\n            Arn: !GetAtt ParkingQueue.Arn\n", "", "what cannot be delivered"),
    (
        "      Endpoint: !GetAtt SignupQueue.Arn\n      RedrivePolicy:\n        deadLetterTargetArn: !GetAtt ParkingQueue.Arn\n",
        "      Endpoint: !GetAtt SignupQueue.Arn\n",
        "what cannot be delivered",
    ),
    (
        "            Destination: !GetAtt ParkingQueue.Arn\n",
        "            Destination: !GetAtt SignupQueue.Arn\n",
        "what cannot be",
    ),
    ("[BusInvokesFunction, !Ref MaxConcurrency,", "[BusInvokesFunction, 2,", "the function may have"),
    ("MaximumConcurrency: !Ref MaxConcurrency", "MaximumConcurrency: 5", "both numbers"),
    ("MAX_CONCURRENCY: !Ref MaxConcurrency", "MAX_CONCURRENCY: '5'", "both numbers"),
    ("CHAT_RATE_LIMIT: !Ref ChatRateLimit", "CHAT_RATE_LIMIT: '200'", "both numbers"),
    ("    MinValue: 20\n", "    MinValue: 19\n", "the function takes every choice"),
    ("                  - sqs:ReceiveMessage\n", "                  - sqs:*\n", "no right is wider"),
    (
        "                Action: sqs:SendMessage\n                Resource: !GetAtt ParkingQueue.Arn\n",
        "                Action: sqs:SendMessage\n                Resource: '*'\n",
        "no right is wider",
    ),
    (
        "                Resource: !GetAtt FunctionLogGroup.Arn\n",
        "                Resource: !Sub 'arn:${AWS::Partition}:logs:*:*:*'\n",
        "no right is wider",
    ),
    ("Resource: '*' # X-Ray knows no other", "Resource: '*'", "no right is wider"),
    ("              Service: events.amazonaws.com\n", "              AWS: '*'\n", "no right is wider"),
    (
        "              ArnEquals:\n                  aws:SourceArn: !Ref SignupTopicArn\n",
        "              {}\n",
        "a service may act",
    ),
    ("rule/${EventBusName}/${AWS::StackName}-signups'", "rule/*'", "a service may act"),
    ("SecretString: '{}'", "SecretString: '{\"secretKey\": \"0\"}'", "no key"),
    (
        "SqsManagedSseEnabled: !If [HasKmsKey, !Ref 'AWS::NoValue', true]",
        "SqsManagedSseEnabled: false",
        "queues, log and secret",
    ),
    (
        "RetentionInDays: !Ref LogRetentionDays\n      KmsKeyId: !If [HasKmsKey, !Ref KmsKeyArn, !Ref 'AWS::NoValue']\n",
        "RetentionInDays: !Ref LogRetentionDays\n",
        "queues, log and secret",
    ),
    (
        "SecretString: '{}'\n      KmsKeyId: !If [HasKmsKey, !Ref KmsKeyArn, !Ref 'AWS::NoValue']\n",
        "SecretString: '{}'\n",
        "queues, log and secret",
    ),
    (
        "UpdateReplacePolicy: Retain\n    Properties:\n      QueueName",
        "UpdateReplacePolicy: Delete\n    Properties:\n      QueueName",
        "an update that replaces",
    ),
    ("      RetentionInDays: !Ref LogRetentionDays\n", "", "the log is"),
    ("LogFormat: JSON", "LogFormat: Text", "the log is"),
    (
        "!If [BusInvokesFunction, !Ref Function.Alias, ",
        "!If [BusInvokesFunction, !GetAtt Function.Arn, ",
        "batches and events",
    ),
    ("      FunctionName: !Ref Function.Alias\n", "      FunctionName: !Ref Function\n", "batches and events"),
    ("      AutoPublishAlias: live\n", "", "batches and events"),
    ("          - !Ref PanickedAlarm\n", "          - !Ref PanicAlarm\n", "a new version is taken back"),
    ("        Enabled: !Ref GradualDeployment\n", "        Enabled: false\n", "a new version is taken back"),
    ("!Ref LogLevel, !Ref MemorySize", "!Ref MemorySize", "what a version"),
    ("!Ref AdminKeySecretArn, !Ref ChatRateLimit", "!Ref ChatRateLimit", "what a version"),
    ("[!Ref UserIdRule, !Ref ProfileRule,", "[!Ref UserIdRule, !Ref ProfileRule, !Ref BatchSize,", "what a version"),
    ("          PROFILE_RULE: ", "          PROFILE_RULES: ", "the function reads"),
    ("    Description: Days that the log is kept.\n", "", "every parameter"),
    ("Parameters: [LogLevel, LogRetentionDays, ", "Parameters: [LogLevel, ", "every parameter"),
    ("    Description: Name of the function.\n", "", "every output"),
    ("      OKActions: !If [HasAlarmTopic, [!Ref AlarmTopicArn], !Ref 'AWS::NoValue']\n", "", "there are alarms"),
    ("      TreatMissingData: notBreaching\n", "", "each alarm says what silence"),
    ("        Runbook: infra/README.md#backlog\n", "", "each alarm says what it is"),
    (
        "        Runbook: infra/README.md#panicked\n",
        "        Runbook: infra/README.md#panic\n",
        "each alarm says what it is",
    ),
    (
        "AlarmName: !Sub '${AWS::StackName}-duration'",
        "AlarmName: !Sub '${AWS::StackName}-time'",
        "each alarm says what it is",
    ),
];

impl Template {
    /// Reads texts of the template, all at once.
    async fn read(texts: Vec<String>) -> Vec<Self> {
        let python = Python::set_up().await.unwrap_or_else(|error| panic!("this test cannot run: {error}"));
        let mut reader = Command::new(python.bin.join("python"));
        reader.arg(top().join("tests/local/python/template.py")).env("PYTHONDONTWRITEBYTECODE", "1");
        reader.env("AWS_DEFAULT_REGION", "eu-central-1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut reader = reader.spawn().unwrap();
        reader.stdin.take().unwrap().write_all(json!(texts).to_string().as_bytes()).unwrap();
        let output = reader.wait_with_output().unwrap();
        let read: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let said = texts.into_iter().zip(read);
        let template = |(text, mut read): (String, Value)| Self {
            text,
            plain: read["template"].take(),
            expanded: read["expanded"].take(),
        };
        said.map(template).collect()
    }

    fn at(&self, pointer: &str) -> &Value {
        self.plain.pointer(pointer).unwrap_or(NONE)
    }

    /// Names and properties of all resources of a type.
    fn plain(&self, kind: &str) -> Vec<(String, &Value)> {
        of_type(&self.plain, kind)
    }

    /// The same, as SAM expands them.
    fn expanded(&self, kind: &str) -> Vec<(String, &Value)> {
        of_type(&self.expanded, kind)
    }

    /// All statements of all policies, with their names.
    fn statements(&self) -> Vec<(String, &Value)> {
        fn collect<'a>(value: &'a Value, found: &mut Vec<(String, &'a Value)>) {
            match value {
                Value::Object(fields) if fields.contains_key("Effect") => {
                    found.push((fields.get("Sid").and_then(Value::as_str).unwrap_or("-").to_owned(), value));
                }
                Value::Object(fields) => fields.values().for_each(|value| collect(value, found)),
                Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        collect(self.at("/Resources"), &mut found);
        found
    }

    /// The parameters that a value is made of, directly or through conditions.
    fn parameters_of(&self, value: &Value) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut more = vec![value];
        while let Some(value) = more.pop() {
            match value {
                Value::Object(fields) => {
                    let named = fields.get("Ref").and_then(Value::as_str);
                    found.extend(named.filter(|name| !self.plain["Parameters"][name].is_null()).map(str::to_owned));
                    let condition = fields.get("Fn::If").and_then(|choice| choice[0].as_str());
                    more.extend(condition.map(|name| &self.plain["Conditions"][name]));
                    more.extend(fields.values());
                }
                Value::Array(values) => more.extend(values),
                _ => {}
            }
        }
        found
    }

    /// The promises that it breaks, each with what breaks it.
    fn broken(&self) -> BTreeMap<&'static str, Vec<String>> {
        let all = PROMISES.iter().map(|(promise, wrong)| (*promise, wrong(self)));
        all.filter(|(_, wrong)| !wrong.is_empty()).collect()
    }
}

fn of_type<'a>(template: &'a Value, kind: &str) -> Vec<(String, &'a Value)> {
    let all = object(&template["Resources"]).into_iter().filter(|(_, resource)| resource["Type"] == kind);
    all.map(|(name, resource)| (name, &resource["Properties"])).collect()
}

fn object(value: &Value) -> Vec<(String, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value)).collect()
}

/// The members of a list; a single value is one.
fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(values) => values.iter().collect(),
        single => vec![single],
    }
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

fn reference(name: &str) -> Value {
    json!({"Ref": name})
}

fn attribute(resource: &str, name: &str) -> Value {
    json!({"Fn::GetAtt": [resource, name]})
}

/// The names of those of which it does not hold; there must be some to begin with.
fn wrong<'a>(all: impl IntoIterator<Item = (String, &'a Value)>, holds: impl Fn(&str, &Value) -> bool) -> Vec<String> {
    let all: Vec<_> = all.into_iter().collect();
    let none = unless(!all.is_empty(), "there is none");
    all.into_iter().filter(|(name, value)| !holds(name, value)).map(|(name, _)| name).chain(none).collect()
}

fn unless(holds: bool, wrong: &str) -> Vec<String> {
    if holds { Vec::new() } else { vec![wrong.to_owned()] }
}

#[tokio::test]
async fn the_template_keeps_its_promises() {
    let read = Template::read(vec![file("infra/template.yaml")]).await;
    assert_eq!(read[0].broken(), BTreeMap::new());
}

#[tokio::test]
async fn each_promise_is_seen_to_break() {
    let template = file("infra/template.yaml");
    let edited = EDITS.map(|(from, to, _)| {
        assert!(template.contains(from), "the template has no {from:?}");
        template.replacen(from, to, 1)
    });
    let read = Template::read(edited.into()).await;
    let unnoticed = read
        .iter()
        .zip(EDITS)
        .filter(|(template, (_, _, promise))| !template.broken().keys().any(|broken| broken.starts_with(promise)));
    let unnoticed: Vec<&str> = unnoticed.map(|(_, (from, _, _))| from).collect();
    let unbroken = PROMISES.iter().filter(|(name, _)| !EDITS.iter().any(|(_, _, promise)| name.starts_with(promise)));
    let unbroken: Vec<&str> = unbroken.map(|(name, _)| *name).collect();
    assert_eq!((unnoticed, unbroken), (vec![], vec![]));
}
