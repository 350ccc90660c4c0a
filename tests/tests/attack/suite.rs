//! Attempts as data, and how they are judged.

use dormouse_testkit::{Client, Created, Dormouse, Reply};

/// An attempt made of statements. Only the last may be refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    /// Why it must fail.
    pub(crate) why: &'static str,
    pub(crate) statements: &'static [&'static str],
    pub(crate) must: Must,
}

/// How an attempt must end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Must {
    /// The last statement gets one of [`DENIED`].
    Refuse,
    /// The last statement gets an error or rows, and no value contains one of these texts.
    Hide(&'static [&'static str]),
    /// The last statement may succeed, without this file.
    Spare(&'static str),
}

/// Errors that refuse a statement for lack of rights or by a rule. Not among them: errors in the syntax, or
/// for missing objects, with which a wrong test would pass.
const DENIED: [u16; 14] = [
    1044, // ER_DBACCESS_DENIED_ERROR
    1045, // ER_ACCESS_DENIED_ERROR
    1095, // ER_KILL_DENIED_ERROR
    1142, // ER_TABLEACCESS_DENIED_ERROR
    1143, // ER_COLUMNACCESS_DENIED_ERROR
    1227, // ER_SPECIFIC_ACCESS_DENIED_ERROR
    1231, // ER_WRONG_VALUE_FOR_VAR
    1235, // ER_NOT_SUPPORTED_YET
    1290, // ER_OPTION_PREVENTS_STATEMENT
    1370, // ER_PROCACCESS_DENIED_ERROR
    1410, // ER_CANT_CREATE_USER_WITH_GRANT
    1465, // ER_NO_TRIGGERS_ON_SYSTEM_SCHEMA
    1524, // ER_PLUGIN_IS_NOT_LOADED
    1698, // ER_ACCESS_DENIED_NO_PASSWORD_ERROR
];

/// A short attempt that must be refused.
pub(crate) const fn refused(why: &'static str, statements: &'static [&'static str]) -> Attempt {
    Attempt {
        why,
        statements,
        must: Must::Refuse,
    }
}

/// A Dormouse with two databases that sleep only on order.
pub(crate) struct World {
    pub(crate) dormouse: Dormouse,
    /// The owner of `shop`.
    pub(crate) owner: Created,
    /// The owner of `blog`.
    pub(crate) other: Created,
}

impl World {
    /// Both databases have a schema `app` with a secret in its table.
    pub(crate) fn new() -> Self {
        let dormouse = Dormouse::start_with(
            "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n\
             [limits]\nfailed_logins_per_minute = 1000000\n",
        );
        let owner = dormouse.create("shop", &[]);
        let other = dormouse.create("blog", &[]);
        for (who, secret) in [(&owner, "shop-secret"), (&other, "blog-secret")] {
            let mut client = dormouse.connect(who);
            client.query("CREATE DATABASE app").ok();
            client.query("CREATE TABLE app.t (s VARCHAR(64))").ok();
            client
                .query(&format!("INSERT INTO app.t VALUES ('{secret}')"))
                .ok();
        }
        Self {
            dormouse,
            owner,
            other,
        }
    }

    /// Runs each attempt in a session of its own and panics with the list of those that succeeded.
    pub(crate) fn try_all(&self, who: &Created, attempts: &[Attempt]) {
        let succeeded: Vec<String> = attempts
            .iter()
            .filter_map(|attempt| self.succeeds(who, attempt))
            .collect();
        assert!(
            succeeded.is_empty(),
            "{} of {} attempts succeeded:\n{}",
            succeeded.len(),
            attempts.len(),
            succeeded.join("\n")
        );
        println!("{} attempts, 0 successes", attempts.len());
        self.is_intact();
    }

    /// The reason why an attempt counts as a success.
    fn succeeds(&self, who: &Created, attempt: &Attempt) -> Option<String> {
        let mut client = self.dormouse.connect(who);
        let (last, first) = attempt.statements.split_last().unwrap();
        for statement in first {
            // what prepares an attack may be refused too: the last statement is judged
            let _ = client.query(statement);
        }
        let reply = client.query(last);
        let passed = match attempt.must {
            Must::Refuse => matches!(&reply, Reply::Err(e) if DENIED.contains(&e.code)),
            Must::Hide(secrets) => {
                let text = format!("{reply:?}");
                !secrets.iter().any(|secret| text.contains(secret))
            }
            Must::Spare(path) => !std::path::Path::new(path).exists(),
        };
        (!passed).then(|| format!("- {last}\n  {reply:?}\n  it must fail: {}", attempt.why))
    }

    /// Both databases are whole: the platform can put them to sleep and wake them, and their owners log in
    /// and find their data.
    pub(crate) fn is_intact(&self) {
        for (name, who) in [("shop", &self.owner), ("blog", &self.other)] {
            let _ = self.dormouse.json(&["wake", name]);
            for verb in ["suspend", "park"] {
                let _ = self.dormouse.json(&[verb, name]);
                self.dormouse.until_state(name, &format!("{verb}ed"));
                let mut client: Client = self.dormouse.connect(who);
                let secret = client.query("SELECT s FROM app.t").value();
                assert_eq!(secret, format!("{name}-secret"));
            }
        }
    }
}
