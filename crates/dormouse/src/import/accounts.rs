//! The accounts of another server: what is run here to have them too, and what cannot come along. Pure.

use dormouse_tenant::privileges::{Privilege, Reach};
use dormouse_types::reserved::PLATFORM_USERS;

/// Accounts that servers and distributions make for themselves, and superusers of a whole server.
const OF_THE_SERVER: [&str; 7] = [
    "root",
    "mysql",
    "mysql.sys",
    "mysql.session",
    "mysql.infoschema",
    "debian-sys-maint",
    "PUBLIC",
];

/// An account of another server, with what it says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) user: String,
    pub(crate) host: String,
    pub(crate) is_role: bool,
    /// `SHOW CREATE USER`
    pub(crate) create: Vec<String>,
    /// `SHOW GRANTS FOR`
    pub(crate) grants: Vec<String>,
}

/// What is run for an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Before the data.
    pub(crate) create: Vec<String>,
    /// After it.
    pub(crate) grants: Vec<String>,
    /// What cannot come along, and why.
    pub(crate) not_brought: Vec<String>,
}

impl Account {
    /// Its name for people.
    pub(crate) fn label(&self) -> String {
        match self.is_role {
            true => self.user.clone(),
            false => format!("{}@{}", self.user, self.host),
        }
    }

    /// Its name in a statement.
    pub(crate) fn sql(&self) -> String {
        let quote = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
        match self.is_role {
            true => quote(&self.user),
            false => format!("{}@{}", quote(&self.user), quote(&self.host)),
        }
    }

    /// Why it is not brought at all.
    pub(crate) fn left_behind(&self) -> Option<&'static str> {
        let is = |names: &[&str]| {
            names
                .iter()
                .any(|name| name.eq_ignore_ascii_case(&self.user))
        };
        if is(&OF_THE_SERVER) {
            Some("an account of the server itself")
        } else if is(&PLATFORM_USERS) {
            Some("here this name belongs to Dormouse")
        } else if is(&[dormouse_api::model::OWNER]) {
            Some("here this name belongs to the database's owner")
        } else if self.user.is_empty() {
            Some("an anonymous account")
        } else {
            None
        }
    }

    /// What is run here for it.
    pub(crate) fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        if let Some(why) = self.left_behind() {
            plan.not_brought.push(format!("{}: {why}", self.label()));
            return plan;
        }
        if self.is_role {
            plan.create.push(format!("CREATE ROLE {}", self.sql()));
        }
        for statement in &self.create {
            match created(statement) {
                Ok(text) => plan.create.push(text),
                Err(why) => plan.not_brought.push(format!("{}: {why}", self.label())),
            }
        }
        if plan.create.is_empty() {
            return plan;
        }
        for statement in &self.grants {
            self.grant(statement, &mut plan);
        }
        plan
    }

    fn grant(&self, statement: &str, plan: &mut Plan) {
        // the password is that of CREATE USER
        let statement = match statement.find(" IDENTIFIED ") {
            Some(at) => {
                let behind = statement.get(at..).unwrap_or_default();
                let option = behind
                    .find(" WITH GRANT OPTION")
                    .map(|_| " WITH GRANT OPTION");
                format!(
                    "{}{}",
                    statement.get(..at).unwrap_or_default(),
                    option.unwrap_or_default()
                )
            }
            None => statement.to_owned(),
        };
        if statement.starts_with("GRANT USAGE ON *.*") && !statement.ends_with("GRANT OPTION") {
            return;
        }
        if statement.starts_with("GRANT PROXY") {
            plan.not_brought.push(format!("{}: PROXY", self.label()));
            return;
        }
        let list = statement
            .strip_prefix("GRANT ")
            .and_then(|rest| rest.split_once(" ON *.* "));
        let Some((privileges, rest)) = list else {
            plan.grants.push(statement);
            return;
        };
        if privileges == "ALL PRIVILEGES" {
            plan.grants.push(statement);
            return;
        }
        let mut kept = Vec::new();
        for name in privileges.split(", ") {
            match Privilege::named(name).map(Privilege::reach) {
                Some(Reach::Refused(why)) => {
                    plan.not_brought
                        .push(format!("{}: {name}: {why}", self.label()));
                }
                None => plan
                    .not_brought
                    .push(format!("{}: {name}: not known here", self.label())),
                Some(_) => kept.push(name),
            }
        }
        if !kept.is_empty() {
            // grant option on everything comes with all privileges only
            let everything = rest.strip_suffix(" WITH GRANT OPTION");
            if everything.is_some() {
                plan.not_brought.push(format!(
                    "{}: GRANT OPTION on *.*: here it comes with ALL PRIVILEGES only",
                    self.label()
                ));
            }
            let rest = everything.unwrap_or(rest);
            plan.grants
                .push(format!("GRANT {} ON *.* {rest}", kept.join(", ")));
        }
    }
}

/// `CREATE USER` as it is run here.
fn created(statement: &str) -> Result<String, String> {
    // MySQL's form
    let Some((head, rest)) = statement.split_once(" IDENTIFIED WITH '") else {
        return Ok(statement.to_owned());
    };
    let (plugin, rest) = rest.split_once('\'').unwrap_or((rest, ""));
    if plugin != "mysql_native_password" {
        return Err(format!(
            "its password is one of {plugin}, which cannot be used here: give it a new one"
        ));
    }
    let hash = rest
        .strip_prefix(" AS '")
        .and_then(|rest| rest.split('\'').next());
    let hash = hash.filter(|hash| !hash.is_empty());
    let identified = hash.map_or(String::new(), |hash| {
        format!(" IDENTIFIED BY PASSWORD '{hash}'")
    });
    let require = match rest.contains(" REQUIRE SSL") {
        true => " REQUIRE SSL",
        false => "",
    };
    let lock = match rest.contains(" ACCOUNT LOCK") {
        true => " ACCOUNT LOCK",
        false => "",
    };
    Ok(format!("{head}{identified}{require}{lock}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(user: &str, create: &str, grants: &[&str]) -> Account {
        Account {
            user: user.to_owned(),
            host: "%".to_owned(),
            is_role: false,
            create: vec![create.to_owned()],
            grants: grants.iter().map(|&text| text.to_owned()).collect(),
        }
    }

    #[test]
    fn an_account_comes_with_its_hash_and_the_privileges_that_there_are_here() {
        let create = "CREATE USER `app`@`%` IDENTIFIED BY PASSWORD '*AB' REQUIRE SSL";
        let plan = account(
            "app",
            create,
            &[
                "GRANT SELECT, SUPER, FILE ON *.* TO `app`@`%` IDENTIFIED BY PASSWORD '*AB' WITH GRANT OPTION",
                "GRANT ALL PRIVILEGES ON `shop`.* TO `app`@`%` WITH GRANT OPTION",
                "GRANT `r` TO `app`@`%`",
            ],
        )
        .plan();
        assert_eq!(plan.create, [create]);
        assert_eq!(
            plan.grants,
            [
                "GRANT SELECT ON *.* TO `app`@`%`",
                "GRANT ALL PRIVILEGES ON `shop`.* TO `app`@`%` WITH GRANT OPTION",
                "GRANT `r` TO `app`@`%`",
            ]
        );
        assert_eq!(plan.not_brought.len(), 3, "{:?}", plan.not_brought);
        assert!(plan.not_brought[0].starts_with("app@%: SUPER: "));
    }

    #[test]
    fn usage_alone_is_no_grant() {
        let usage = ["GRANT USAGE ON *.* TO `app`@`%` IDENTIFIED BY PASSWORD '*AB'"];
        assert_eq!(
            account("app", "CREATE USER x", &usage).plan().grants,
            [""; 0]
        );
    }

    #[test]
    fn accounts_of_the_server_stay_behind() {
        for user in [
            "root",
            "mariadb.sys",
            "dormouse",
            "admin",
            "",
            "mysql.session",
        ] {
            let plan = account(user, "CREATE USER x", &["GRANT ALL PRIVILEGES ON *.* TO x"]).plan();
            assert_eq!((plan.create.len(), plan.grants.len()), (0, 0), "{user}");
            assert_eq!(plan.not_brought.len(), 1, "{user}");
        }
    }

    #[test]
    fn an_account_of_mysql_is_brought_if_its_password_is_of_a_plugin_that_there_is_here() {
        let native = "CREATE USER `a`@`%` IDENTIFIED WITH 'mysql_native_password' AS '*AB' REQUIRE NONE \
            PASSWORD EXPIRE DEFAULT ACCOUNT LOCK PASSWORD HISTORY DEFAULT";
        assert_eq!(
            created(native).unwrap(),
            "CREATE USER `a`@`%` IDENTIFIED BY PASSWORD '*AB' ACCOUNT LOCK"
        );
        let sha2 = "CREATE USER `a`@`%` IDENTIFIED WITH 'caching_sha2_password' AS '$A$005$x' REQUIRE NONE";
        assert!(created(sha2).unwrap_err().contains("caching_sha2_password"));
        let plan = account("a", sha2, &["GRANT SELECT ON *.* TO `a`@`%`"]).plan();
        assert_eq!((plan.create.len(), plan.grants.len()), (0, 0));
    }
}
