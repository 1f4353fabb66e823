//! Imports every sign-up of an app into Tencent Chat: an AWS Lambda function behind SQS or EventBridge.
//!
//! Data goes one way, and a module imports only what stands above it:
//!
//! | module | the one question it answers |
//! |---|---|
//! | [`json`] | how JSON is read, no deeper than it stands |
//! | [`event`] | what invoked us, and what document a message holds |
//! | [`formats`] | where the fields of a sign-up are in a sender's document |
//! | [`user_id`] | how a sender's user ID becomes Tencent's |
//! | [`signup`] | what a valid sign-up is, and how one is read |
//! | [`config`] | which settings there are |
//! | [`usersig`] | how a request is signed |
//! | [`network`] | how anything goes over the network |
//! | [`aws`] | where AWS is, and as whom it is called |
//! | [`admin`] | where the key comes from and how long it is kept |
//! | [`chat`] | how Tencent is called and how a call can fail |
//! | [`pace`] | how fast calls may go |
//! | [`breaker`] | when to call nobody |
//! | [`outcome`] | what follows from each failure |
//! | [`check`] | which accounts are looked for in one call |
//! | [`import`] | how one sign-up is imported |
//! | [`queue`] | how a message is delayed, put back or parked |
//! | [`metrics`] | what is counted |
//! | [`answer`] | how an invocation is answered |
//! | [`handler`] | how an invocation is worked through |
//! | [`logs`] | what may be written to the log, and when |
//!
//! ```text
//! invocation ─▶ Message ─▶ Signup ─▶ account_import ─▶ Failure? ─▶ Outcome ─▶ answer
//!               event      signup    chat (admin)      chat        outcome    handler (queue)
//!                          (formats)
//! ```

pub mod admin;
pub mod answer;
pub mod aws;
pub mod breaker;
pub mod chat;
pub mod check;
pub mod config;
pub mod event;
pub mod formats;
pub mod handler;
pub mod import;
pub mod json;
pub mod logs;
pub mod metrics;
pub mod network;
pub mod outcome;
pub mod pace;
pub mod queue;
pub mod signup;
pub mod user_id;
pub mod usersig;
