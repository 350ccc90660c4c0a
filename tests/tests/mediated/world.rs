//! A database whose owner has the rights of an owner, and no more.

use std::path::PathBuf;

use dormouse_testkit::{Client, Created, Dormouse, Reply};

/// A Dormouse whose databases sleep only on order, on one version of the server.
pub(crate) struct World {
    dormouse: Dormouse,
    pub(crate) owner: Created,
}

impl World {
    /// Runs a test on each version of the server.
    pub(crate) fn each(test: fn(&World)) {
        test(&Self::on(None));
        match std::env::var_os("DORMOUSE_TEST_MARIADBD_118") {
            Some(server)
                if std::env::var_os("DORMOUSE_TEST_MARIADBD").as_ref() != Some(&server) =>
            {
                test(&Self::on(Some(server.into())));
            }
            Some(_) => {}
            None => println!("skipped: no MariaDB 11.8"),
        }
    }

    fn on(server: Option<PathBuf>) -> Self {
        let config = "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n\
                      [limits]\nfailed_logins_per_minute = 1000000\n";
        let dormouse = match server {
            None => Dormouse::start_with(config),
            Some(path) => {
                let config = format!("engine.mariadbd = '{}'\n{config}", path.display());
                let program = dormouse_testkit::program();
                let mut dormouse = Dormouse::prepare_program(program, &config, "debug");
                dormouse.up();
                dormouse
            }
        };
        let owner = dormouse.create("shop", &[]);
        restrain(&mut dormouse.connect(&owner));
        Self { dormouse, owner }
    }

    /// A new session of the owner.
    pub(crate) fn owner(&self) -> Client {
        self.dormouse.connect(&self.owner)
    }

    /// A session of another account, or the number of the error.
    pub(crate) fn login(&self, user: &str, password: &str) -> Result<Client, u16> {
        let mut client = Client::tcp(self.dormouse.address());
        match client.login(
            &format!("shop.{}", user.trim_start_matches("shop.")),
            password,
            None,
        ) {
            Reply::Err(error) => Err(error.code),
            _ => Ok(client),
        }
    }

    /// Stops the database's server.
    pub(crate) fn park(&self) {
        let _ = self.dormouse.json(&["park", "shop"]);
    }
}

/// Takes from an owner's account what an owner does not have. Does nothing to an account that has no more.
fn restrain(admin: &mut Client) {
    let all = admin.query("SELECT COUNT(*) FROM mysql.global_priv");
    if matches!(all, Reply::Err(_)) {
        return;
    }
    // PROCESS, RELOAD, SHOW DATABASES, BINLOG MONITOR, SLAVE MONITOR
    let access: u64 = (1 << 8) + (1 << 6) + (1 << 14) + (1 << 19) + (1 << 38);
    for text in [
        "GRANT ALL ON `%`.* TO admin@'%'",
        "INSERT INTO mysql.db (Host, Db, User) VALUES ('%', 'mysql', 'admin')",
        "INSERT INTO mysql.db (Host, Db, User, Select_priv, Execute_priv, Create_tmp_table_priv) \
         VALUES ('%', 'sys', 'admin', 'Y', 'Y', 'Y')",
        &format!(
            "UPDATE mysql.global_priv SET Priv = JSON_SET(Priv, '$.access', {access}, '$.dormouse', 'owner') \
             WHERE User = 'admin'"
        ),
        "FLUSH PRIVILEGES",
    ] {
        admin.query(text).ok();
    }
}

/// The number of an error.
pub(crate) fn code(reply: Reply) -> u16 {
    reply.err().code
}
