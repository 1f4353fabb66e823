//! The senders' documents in `events/`: the settings that each wants, and the accounts that come of it.

use crate::file;

/// A sender's document.
pub struct Sample {
    /// Its file, without `.json`.
    pub name: &'static str,
    /// What the function must be set to.
    pub settings: &'static [(&'static str, &'static str)],
    /// The accounts that come of it: `UserID` and `Nick`.
    pub accounts: &'static [(&'static str, &'static str)],
}

impl Sample {
    /// The document.
    pub fn text(&self) -> String {
        file(&format!("events/{}.json", self.name))
    }
}

/// The document of this name.
///
/// # Panics
/// When there is none.
#[expect(clippy::panic, reason = "a test must stop with the name")]
pub fn sender(name: &str) -> &'static Sample {
    SENDERS.iter().find(|sample| sample.name == name).unwrap_or_else(|| panic!("no sample {name}"))
}

/// One document of every sender, the longest user IDs among them.
pub static SENDERS: [Sample; 11] = [
    Sample {
        name: "auth0",
        settings: &[("SIGNUP_FORMAT", "auth0"), ("USER_ID_RULE", "sha256")],
        accounts: &[("4f0990941f6d7d927d7213108c6c9288", "annie")],
    },
    Sample {
        name: "auth0-logs",
        settings: &[("SIGNUP_FORMAT", "auth0-logs"), ("USER_ID_RULE", "sha256")],
        accounts: &[("bae711141f78e7d1877321e6dd4a3213", "Evelyn")],
    },
    Sample {
        name: "okta",
        settings: &[("SIGNUP_FORMAT", "okta")],
        accounts: &[("00uz9fj5aT69fHVro1d6", "Mary Jackson")],
    },
    Sample {
        name: "okta-hook",
        settings: &[("SIGNUP_FORMAT", "okta")],
        accounts: &[("00uz9fj5aT69fHVro1d7", "Dorothy Vaughan"), ("00uz9fj5aT69fHVro1d9", "Christine Darden")],
    },
    Sample {
        name: "clerk",
        settings: &[("SIGNUP_FORMAT", "clerk")],
        accounts: &[("user_29w83sxmDNGwOuEthce5gg56FcC", "Sister Mary Keller")],
    },
    Sample {
        name: "workos",
        settings: &[("SIGNUP_FORMAT", "workos")],
        accounts: &[("user_01E4ZCR3C56J083X43JQXF3JK5", "Adele Goldberg")],
    },
    Sample {
        name: "supabase",
        settings: &[("SIGNUP_FORMAT", "supabase"), ("USER_ID_RULE", "uuid")],
        accounts: &[("7c1f0e5e3f0a4b529d431a2b3c4d5e6f", "Lynn Conway")],
    },
    Sample {
        name: "cognito",
        settings: &[("SIGNUP_FORMAT", "cognito"), ("USER_ID_RULE", "uuid")],
        accounts: &[("3b1f0e5e3f0a4b529d431a2b3c4d5e6f", "Karen Spärck Jones")],
    },
    Sample {
        name: "firebase",
        settings: &[("SIGNUP_FORMAT", "firebase")],
        accounts: &[("UUpby3s4spZre6kHsgVSPetzQ8l2", "Shafi Goldwasser")],
    },
    Sample {
        name: "cloudevents",
        settings: &[("SIGNUP_FORMAT", "cloudevents"), ("SIGNUP_CLOUDEVENT_TYPE", "com.example.user.signed-up")],
        accounts: &[("frances-bilas", "Frances")],
    },
    Sample {
        name: "custom",
        settings: &[("SIGNUP_FORMAT", "custom"), ("SIGNUP_CUSTOM_FORMAT", CUSTOM)],
        accounts: &[("471100815", "Ida Rhodes")],
    },
];

/// The format of `events/custom.json`.
const CUSTOM: &str = r#"{"when":[{"at":["/event"],"is":["registered"]}],"userId":["/account/id"],"integerIds":true,"nickname":["/account/profile/first /account/profile/last"]}"#;
