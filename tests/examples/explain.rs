//! `cargo explain`: what the function would make of an event, and why. Nobody is called.
#![expect(clippy::print_stdout, reason = "it is what a person came to see")]

use std::{env, fs, io, process::ExitCode};

use chat_signup_import::{
    config,
    event::{Document, Invocation, Message},
    formats::{self, Format, Place},
    signup::{Rules, Signup},
    user_id::UserIdRule,
};
use serde_json::value::RawValue;

const USAGE: &str = "usage: cargo explain [FILE]\n\n\
    Tells what the function would make of the event in FILE, or on standard input: a document of a sender, an event,\n\
    or a batch of messages. It is set as the function is, by SIGNUP_FORMAT, SIGNUP_CUSTOM_FORMAT, SIGNUP_DETAIL_TYPE,\n\
    SIGNUP_CLOUDEVENT_TYPE, USER_ID_RULE and PROFILE_RULE. Exits with 1 if something would be rejected.";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let text = match arguments.as_slice() {
        [] => io::read_to_string(io::stdin()).map_err(|error| format!("standard input: {error}")),
        [file] if !file.starts_with('-') => fs::read_to_string(file).map_err(|error| format!("{file}: {error}")),
        _ => Err(USAGE.to_owned()),
    };
    match text.and_then(|text| explain(&text)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Explains an event; gives whether nothing of it would be rejected.
fn explain(text: &str) -> Result<bool, String> {
    let rules = config::rules(|name| env::var(name).ok()).map_err(|error| error.to_string())?;
    let event = serde_json::from_str::<Box<RawValue>>(text).map_err(|error| format!("this is not JSON: {error}"))?;
    let (kind, messages) = match Invocation::parse(&event, "-").map_err(|error| error.to_string())? {
        Invocation::Batch(messages) => ("a batch", messages),
        Invocation::Event(message) => ("one event", vec![message]),
    };
    println!("{kind}, read with {}", settings());
    let Format { docs, user_id, nickname, avatar_url, .. } = &rules.format;
    for page in docs {
        println!("  see        {page}");
    }
    let of = |places: &[Place]| if places.is_empty() { "nowhere".to_owned() } else { formats::alternatives(places) };
    println!("  fields     UserID from {}; Nick from {}; FaceUrl from {}", of(user_id), of(nickname), of(avatar_url));
    let sound: Vec<bool> = messages.iter().map(|message| explain_message(message, &rules)).collect();
    Ok(!sound.contains(&false))
}

/// What is set, as it would be typed.
fn settings() -> String {
    let default = [("SIGNUP_FORMAT", "default"), ("USER_ID_RULE", "as-is"), ("PROFILE_RULE", "fit")];
    let set = default.map(|(name, value)| {
        let value = env::var(name).ok().filter(|value| !value.trim().is_empty()).unwrap_or(value.to_owned());
        format!("{name}={value}")
    });
    set.join(" ")
}

fn explain_message(message: &Message, rules: &Rules) -> bool {
    println!("\nmessage {}", message.id);
    let signups = rules.read(&message.body);
    if signups.is_empty() {
        println!("  ignored    {}", why_ignored(message, rules));
    }
    let mut sound = true;
    for signup in signups {
        match signup {
            Ok(signup) => show(&signup),
            Err(error) => {
                sound = false;
                println!("  rejected   {error}");
            }
        }
    }
    if !sound && let Some(hint) = hint(message, rules) {
        println!("             {hint}");
    }
    sound
}

/// Which condition of a sign-up does not hold.
fn why_ignored(message: &Message, rules: &Rules) -> String {
    let Ok(Document { value, detail_type }) = Document::open(&message.body) else { return String::new() };
    if let (Some(expected), Some(found)) = (&rules.detail_type, &detail_type)
        && expected != found
    {
        return format!("its detail-type is {found:?}: a sign-up's is {expected:?}");
    }
    let failed = rules.format.when.iter().find(|condition| !condition.holds(&value).unwrap_or(true));
    let steps = || rules.format.users.iter().flat_map(|step| &step.when).map(ToString::to_string).collect::<Vec<_>>();
    failed.map_or_else(
        || format!("nothing in it is about a sign-up, which is where {}", steps().join(" and ")),
        |condition| format!("it is about something else than a sign-up, which is where {condition}"),
    )
}

fn show(signup: &Signup) {
    println!("  imported   UserID   {} (in the log: {})", signup.user_id.reveal(), signup.user_id);
    println!("             Nick     {}", signup.nickname.as_deref().unwrap_or("none"));
    println!("             FaceUrl  {}", signup.avatar_url.as_deref().unwrap_or("none"));
    for change in &signup.fitted {
        println!("             {change}");
    }
    if signup.user_id.is_odd() {
        println!(
            "             the UserID has characters on which Tencent's documents disagree: try one such import first"
        );
    }
}

/// Which settings would admit a message that is rejected: another rule for the user ID at best, or else another format.
fn hint(message: &Message, rules: &Rules) -> Option<String> {
    let own = ("as it is".to_owned(), rules.format.clone());
    for (name, format) in std::iter::once(own).chain(formats::presets().ok()?) {
        for (rule, user_id) in UserIdRule::ALL {
            let rules = Rules { format: format.clone(), user_id, detail_type: None, ..rules.clone() };
            let signups = rules.read(&message.body);
            if !signups.is_empty() && signups.iter().all(Result::is_ok) {
                return Some(format!("it would be imported with SIGNUP_FORMAT {name} and USER_ID_RULE {rule}"));
            }
        }
    }
    None
}
