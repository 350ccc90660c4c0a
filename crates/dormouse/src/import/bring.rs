//! Brings the accounts of another server: they are made before the data, their grants come when the data is there.

use dormouse_api::ErrorBody;

use super::accounts::{Account, Plan};
use super::connection::Failure;
use super::live::OptionFile;
use super::run::Importer;
use super::text::literal;
use crate::Outcome;

/// Makes the accounts of another server that can be read.
///
/// # Errors
/// The database is gone.
pub(crate) fn accounts(
    source: &OptionFile,
    importer: &mut Importer<'_>,
    plan: &mut Plan,
) -> Outcome {
    match read(source) {
        Ok(accounts) => {
            for account in accounts {
                bring(importer, &account, plan)?;
            }
        }
        Err(error) => {
            let text = format!("accounts: they cannot be read: {}", error.message);
            importer.summary().not_brought.push(text);
        }
    }
    Ok(())
}

/// Gives the accounts what they are granted, and tells what did not come along.
///
/// # Errors
/// The database is gone.
pub(crate) fn grants(importer: &mut Importer<'_>, mut plan: Plan) -> Outcome {
    for grant in &plan.grants {
        if let Err(error) = account_statement(importer, grant)? {
            let text = format!("{}: {error}", without_secret(grant));
            importer.summary().not_brought.push(text);
        }
    }
    importer.summary().not_brought.append(&mut plan.not_brought);
    Ok(())
}

/// The accounts of another server.
fn read(source: &OptionFile) -> Outcome<Vec<Account>> {
    // MySQL has roles too, but no column that says so
    let all = source
        .query("SELECT User, Host, is_role FROM mysql.user ORDER BY is_role DESC, User, Host");
    let all = match all {
        Ok(all) => all,
        Err(_) => source.query("SELECT User, Host, 'N' FROM mysql.user ORDER BY User, Host")?,
    };
    let first = |rows: Vec<Vec<String>>| {
        rows.into_iter()
            .filter_map(|row| row.into_iter().next())
            .collect()
    };
    let mut accounts = Vec::new();
    for row in all {
        let [user, host, is_role] = <[String; 3]>::try_from(row).unwrap_or_default();
        let mut account = Account {
            user,
            host,
            is_role: is_role == "Y",
            ..Account::default()
        };
        if account.left_behind().is_none() {
            let name = account.sql();
            if !account.is_role {
                account.create = first(source.query(&format!("SHOW CREATE USER {name}"))?);
            }
            account.grants = first(source.query(&format!("SHOW GRANTS FOR {name}"))?);
        }
        accounts.push(account);
    }
    Ok(accounts)
}

/// Makes an account; its grants come when the data is there.
fn bring(importer: &mut Importer<'_>, account: &Account, plan: &mut Plan) -> Outcome {
    let Plan {
        create,
        grants,
        mut not_brought,
    } = account.plan();
    plan.not_brought.append(&mut not_brought);
    if create.is_empty() {
        return Ok(());
    }
    let host = if account.is_role {
        ""
    } else {
        account.host.as_str()
    };
    let there = format!(
        "SELECT 1 FROM mysql.user WHERE User = {} AND Host = {}",
        literal(&account.user),
        literal(host)
    );
    if !importer.connection().ask(&there)?.is_empty() {
        let text = "it is there already and keeps its password; its grants are added";
        plan.not_brought
            .push(format!("{}: {text}", account.label()));
        plan.grants.extend(grants);
        return Ok(());
    }
    for statement in &create {
        if let Err(error) = account_statement(importer, statement)? {
            plan.not_brought
                .push(format!("{}: {error}", account.label()));
            return Ok(());
        }
    }
    plan.grants.extend(grants);
    importer.summary().accounts.push(account.label());
    Ok(())
}

/// Runs a statement about an account; the inner error is the server's refusal.
fn account_statement(importer: &mut Importer<'_>, text: &str) -> Outcome<Result<(), String>> {
    match importer.connection().run(text.as_bytes()) {
        Ok(_) => Ok(Ok(())),
        Err(Failure::Refused(error)) => Ok(Err(error.to_string())),
        Err(Failure::Gone(error)) => Err(gone(&error)),
    }
}

fn gone(error: &str) -> ErrorBody {
    ErrorBody::new(
        "machine",
        format!("the connection to dormouse broke: {error}"),
    )
    .with_hint("run it again: the dump makes each table anew")
}

fn without_secret(statement: &str) -> &str {
    statement.split(" IDENTIFIED ").next().unwrap_or_default()
}
