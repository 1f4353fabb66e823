//! Where AWS is and as whom it is called, by what Lambda puts into every environment.

use std::time::Duration;

use aws_sdk_sqs::config::{
    BehaviorVersion, Credentials, Region, SharedCredentialsProvider, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_types::SdkConfig;

use crate::network::Network;

/// Longest call of AWS, its second try included.
const LONGEST_CALL: Duration = Duration::from_secs(3);

/// What every environment of Lambda's has is missing.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not set: Lambda sets it")]
pub struct AwsError(&'static str);

/// Makes the clients of Secrets Manager and SQS, which connect when first used.
///
/// The region and the role's credentials are read through `lookup`, and where AWS is if it is elsewhere:
/// `AWS_ENDPOINT_URL_SECRETS_MANAGER`, `AWS_ENDPOINT_URL_SQS`, or for both of them `AWS_ENDPOINT_URL`.
///
/// # Errors
/// When there is no region, or there are no credentials.
pub fn clients(
    network: &Network,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<(aws_sdk_secretsmanager::Client, aws_sdk_sqs::Client), AwsError> {
    let get = |name: &str| lookup(name).filter(|value| !value.is_empty());
    let set = |name| get(name).ok_or(AwsError(name));
    let region = Region::new(set("AWS_REGION")?);
    let (id, key) = (set("AWS_ACCESS_KEY_ID")?, set("AWS_SECRET_ACCESS_KEY")?);
    let credentials = Credentials::new(id, key, get("AWS_SESSION_TOKEN"), None, "environment");
    let all = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(network.for_aws())
        .region(region)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        // More retries are the queue's: a call that fails costs no more than a redelivery.
        .retry_config(RetryConfig::standard().with_max_attempts(2))
        .timeout_config(TimeoutConfig::builder().operation_timeout(LONGEST_CALL).build())
        .build();
    let endpoint = |name: &str| get(name).or_else(|| get("AWS_ENDPOINT_URL"));
    let mut secrets = aws_sdk_secretsmanager::config::Builder::from(&all);
    secrets.set_endpoint_url(endpoint("AWS_ENDPOINT_URL_SECRETS_MANAGER"));
    let mut sqs = aws_sdk_sqs::config::Builder::from(&all);
    sqs.set_endpoint_url(endpoint("AWS_ENDPOINT_URL_SQS"));
    Ok((aws_sdk_secretsmanager::Client::from_conf(secrets.build()), aws_sdk_sqs::Client::from_conf(sqs.build())))
}
