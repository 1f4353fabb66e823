//! What the stand-in does, and from where we know that Tencent does so.

/// From where a behaviour is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Written in Tencent's documentation, on this page.
    Documented(&'static str),
    /// Seen in an answer of the real service.
    Recorded(&'static str),
    /// Neither: our best guess.
    Assumed,
}

const IMPORT_PAGE: &str = "https://www.tencentcloud.com/document/product/1047/34953";
const DELETE_PAGE: &str = "https://www.tencentcloud.com/document/product/1047/34955";
const CHECK_PAGE: &str = "https://www.tencentcloud.com/document/product/1047/34956";
const CODES_PAGE: &str = "https://www.tencentcloud.com/document/product/1047/34348";

macro_rules! behaviours {
    ($($(#[doc = $text:literal])+ $name:ident = $code:literal, $origin:expr;)+) => {
        /// Something the stand-in does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Behaviour {
            $($(#[doc = $text])+ $name,)+
        }

        /// All of them.
        pub const ALL: &[Behaviour] = &[$(Behaviour::$name),+];

        impl Behaviour {
            /// The `ErrorCode` it answers with.
            pub fn code(self) -> i64 {
                match self { $(Self::$name => $code,)+ }
            }

            /// From where it is known.
            pub fn origin(self) -> Origin {
                match self { $(Self::$name => $origin,)+ }
            }

            /// What it is, in a sentence.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => concat!($($text),+).trim_ascii(),)+ }
            }
        }
    };
}

behaviours! {
    /// A new account is kept with its nickname and picture.
    Import = 0, Origin::Documented(IMPORT_PAGE);
    /// An account that is there is imported again without an error; its nickname and picture are overwritten.
    ImportAgain = 0, Origin::Assumed;
    /// Every error comes with HTTP 200.
    Http200ForEveryError = 0, Origin::Documented(IMPORT_PAGE);
    /// More accounts than the plan has are refused.
    Quota = 70398, Origin::Documented(IMPORT_PAGE);
    /// An account of a paid plan that was deleted a short while ago cannot be imported again.
    DeletedIsBarred = 70399, Origin::Documented(DELETE_PAGE);
    /// A nickname or picture of more than 500 bytes is refused.
    ProfileLength = 40601, Origin::Documented(IMPORT_PAGE);
    /// A user ID of more than 32 bytes is refused.
    UserIdLength = 70402, Origin::Documented(IMPORT_PAGE);
    /// A body without user ID is refused.
    NoUserId = 70402, Origin::Assumed;
    /// A field that is no string is refused.
    FieldIsNoString = 60015, Origin::Assumed;
    /// A body that is no JSON object is refused.
    BodyIsNoJson = 60003, Origin::Documented(CODES_PAGE);
    /// More than 200 calls of a command within a second are refused.
    RateLimit = 60007, Origin::Documented(IMPORT_PAGE);
    /// A path that is no command is refused.
    UnknownCommand = 60009, Origin::Documented(CODES_PAGE);
    /// A query without sdkappid is refused.
    NoAppId = 60012, Origin::Documented(CODES_PAGE);
    /// An app that does not exist here is refused.
    UnknownApp = 70020, Origin::Documented(CODES_PAGE);
    /// A query without usersig is refused.
    NoSignature = 70002, Origin::Documented(CODES_PAGE);
    /// A usersig that cannot be read is refused.
    UnreadableSignature = 70003, Origin::Documented(CODES_PAGE);
    /// A usersig made with another key is refused.
    SignedWithAnotherKey = 70009, Origin::Assumed;
    /// A usersig for another app than the query's is refused.
    SignedForAnotherApp = 70014, Origin::Documented(CODES_PAGE);
    /// A usersig for another identifier than the query's is refused.
    SignedForAnotherIdentifier = 70013, Origin::Documented(CODES_PAGE);
    /// A usersig past its time is refused.
    Expired = 70001, Origin::Documented(CODES_PAGE);
    /// A caller that is no administrator is refused.
    NotAnAdministrator = 60010, Origin::Documented(CODES_PAGE);
    /// `account_check` tells which accounts are there.
    Check = 0, Origin::Documented(CHECK_PAGE);
    /// `account_delete` removes accounts.
    Delete = 0, Origin::Documented(DELETE_PAGE);
    /// `account_delete` tells which account was not there.
    DeleteUnknown = 70107, Origin::Documented(DELETE_PAGE);
}

/// The `ErrorInfo` that goes with a code; Tencent's own words are not documented in full.
pub fn info(code: i64) -> &'static str {
    ALL.iter().find(|behaviour| code != 0 && behaviour.code() == code).map_or("", |behaviour| behaviour.text())
}

/// Counts by origin: documented, recorded, assumed.
pub fn counts() -> [usize; 3] {
    ALL.iter().fold([0; 3], |[documented, recorded, assumed], behaviour| match behaviour.origin() {
        Origin::Documented(_) => [documented + 1, recorded, assumed],
        Origin::Recorded(_) => [documented, recorded + 1, assumed],
        Origin::Assumed => [documented, recorded, assumed + 1],
    })
}
