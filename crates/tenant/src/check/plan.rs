//! The rules, and the steps that follow from them.

use dormouse_types::Manager;

use super::names::{self, Extent};
use super::{Caller, Denied, Facts, Plan, Step};
use crate::ast::{Name, Object, Options, Privileges, Statement, User};
use crate::privileges::{OF_ALL, Privilege, Reach};
use crate::render;
use crate::variables;

/// The schema's name for the rights on everything: a row for this pattern.
const ALL_SCHEMAS: &str = "%";

/// What runs in place of a statement. `facts` are those of [`named`](super::named), of the caller and of all
/// owners.
///
/// # Errors
/// [`Denied`]: nothing may run.
pub fn check(statement: &Statement, caller: &Caller, facts: &Facts) -> Result<Plan, Denied> {
    names::check(statement)?;
    let rules = Rules {
        manager: facts.manager(&caller.user, &caller.host),
        caller,
        facts,
    };
    let statement = &rules.resolved(statement);
    rules.may(statement)?;
    names::check_new(statement, |name| rules.exists(name))?;
    let plan = rules.plan(statement)?;
    rules.leaves_an_owner(&plan.steps, statement)?;
    Ok(plan)
}

struct Rules<'a> {
    manager: Manager,
    caller: &'a Caller,
    facts: &'a Facts,
}

/// A list of grantees as plain names.
fn names_of(users: &[User]) -> Vec<Name> {
    users.iter().map(|user| user.name.clone()).collect()
}

impl Rules<'_> {
    /// The statement with accounts and roles as the server will find them.
    fn resolved(&self, statement: &Statement) -> Statement {
        let mut statement = statement.clone();
        let one = |name: &mut Name| {
            let new = match &*name {
                Name::Current => Name::Account {
                    user: self.caller.user.clone(),
                    host: self.caller.host.clone(),
                },
                Name::Bare(bare) if !self.facts.is_role(bare) => Name::Account {
                    user: bare.clone(),
                    host: "%".to_owned(),
                },
                _ => return,
            };
            *name = new;
        };
        match &mut statement {
            Statement::CreateUser { users, .. }
            | Statement::AlterUser { users, .. }
            | Statement::Grant { to: users, .. } => {
                users.iter_mut().for_each(|user| one(&mut user.name));
            }
            Statement::DropUser { users: names, .. }
            | Statement::Revoke { from: names, .. }
            | Statement::RevokeAll(names)
            | Statement::GrantRoles { to: names, .. }
            | Statement::RevokeRoles { from: names, .. } => names.iter_mut().for_each(one),
            Statement::RenameUser(pairs) => pairs.iter_mut().for_each(|(from, to)| {
                one(from);
                one(to);
            }),
            Statement::CreateRole { admin, .. } => {
                // not Dormouse's account, which runs it
                one(admin.get_or_insert(Name::Current));
            }
            Statement::SetPassword { user, .. }
            | Statement::SetDefaultRole { user, .. }
            | Statement::ShowGrants(user)
            | Statement::ShowCreateUser(user) => one(user),
            Statement::DropRole { .. }
            | Statement::SetGlobal(_)
            | Statement::SetGlobalTransaction { .. }
            | Statement::Kill { .. } => {}
        }
        statement
    }

    /// Whether the caller may run this at all, on these accounts.
    fn may(&self, statement: &Statement) -> Result<(), Denied> {
        let own = |name: &Name| match name {
            Name::Account { user, host } => {
                *user == self.caller.user && host.eq_ignore_ascii_case(&self.caller.host)
            }
            _ => false,
        };
        match self.manager {
            Manager::Owner => return Ok(()),
            Manager::Users if !statement.is_for_owners() => {}
            Manager::Users | Manager::None => {
                return Err(Denied::privilege(
                    "this needs an owner of the database (ALL PRIVILEGES ON *.* WITH GRANT OPTION)",
                ));
            }
        }
        let mut result = Ok(());
        names::each(statement, &mut |name| {
            if let Name::Account { user, .. } = name
                && !own(name)
                && self.facts.has_stronger(user, self.manager)
            {
                result = Err(Denied::privilege(
                    "an account with CREATE USER alone cannot make or change one with the user name of an owner of \
                     the database",
                ));
            }
        });
        result
    }

    fn exists(&self, name: &Name) -> bool {
        match name {
            Name::Account { user, host } => self.facts.of(user, host).is_some(),
            Name::Bare(role) => self.facts.is_role(role),
            Name::Current | Name::Public => true,
        }
    }

    fn plan(&self, statement: &Statement) -> Result<Plan, Denied> {
        let text = render::statement(statement);
        let steps = match statement {
            Statement::CreateUser { users, .. } => {
                let mut steps = vec![Step::Run(text)];
                steps.extend(users.iter().filter_map(|user| protect(&user.name)));
                steps
            }
            Statement::RenameUser(pairs) => {
                let mut steps = self.facts.withdrawals(pairs);
                steps.push(Step::Run(text));
                // a name that is given on has no account in the end, and rows of it would keep others from getting it
                let ends = (1..).zip(pairs).filter(|(next, (_, to))| {
                    let later = pairs.get(*next..).unwrap_or_default();
                    later.iter().all(|(from, _)| from != to)
                });
                steps.extend(ends.filter_map(|(_, (_, to))| protect(to)));
                steps
            }
            Statement::CreateRole { roles, .. } => {
                let mut steps = vec![Step::Run(text)];
                let roles = roles.iter().cloned().map(Name::Bare);
                steps.extend(roles.filter_map(|role| protect(&role)));
                steps
            }
            Statement::AlterUser { .. }
            | Statement::DropUser { .. }
            | Statement::SetPassword { .. }
            | Statement::DropRole { .. }
            | Statement::SetDefaultRole { .. }
            | Statement::SetGlobalTransaction { .. }
            | Statement::Kill { .. } => vec![Step::Run(text)],
            Statement::Grant {
                privileges,
                on,
                to,
                options,
                grant_option,
            } => self.grant(privileges, on, to, options, *grant_option)?,
            Statement::Revoke {
                privileges,
                grant_option,
                on,
                from,
            } => self.revoke(privileges, on, from, *grant_option)?,
            Statement::RevokeAll(from) => {
                self.not_public(from)?;
                self.revoke_from(
                    from,
                    |_| Manager::None,
                    |from| vec![Step::Run(render::statement(&Statement::RevokeAll(from)))],
                )
            }
            Statement::GrantRoles { roles, to, .. } => {
                self.not_public(to)?;
                vec![Step::RunAsAdminOf(roles.clone(), text)]
            }
            Statement::RevokeRoles { roles, from, .. } => {
                self.not_public(from)?;
                vec![Step::RunAsAdminOf(roles.clone(), text)]
            }
            Statement::ShowGrants(who) | Statement::ShowCreateUser(who) => {
                let (who, manager) = match who {
                    Name::Account { user, host } => (
                        self.facts.stored(user, host),
                        self.facts.manager(user, host),
                    ),
                    other => (other.clone(), Manager::None),
                };
                return Ok(Plan {
                    steps: vec![Step::Show(text)],
                    shows: Some((who, manager)),
                });
            }
            Statement::SetGlobal(assignments) => {
                let mut parts = Vec::with_capacity(assignments.len());
                for one in assignments {
                    if let Some(option) = variables::prevented_by(&one.variable) {
                        return Err(Denied::option(option));
                    }
                    let Some(variable) = variables::find(&one.variable) else {
                        return Err(Denied::privilege(&format!(
                            "the global variable '{}' is not one that the owner of a database may set; \
                             docs/accounts.md lists those",
                            shown(&one.variable)
                        )));
                    };
                    let value = variable.rendered(&one.value).map_err(|what| {
                        Denied::value(&format!(
                            "Variable '{}' cannot be set to this value: {what}",
                            variable.name
                        ))
                    })?;
                    parts.push(format!("GLOBAL {} = {value}", variable.name));
                }
                vec![Step::Run(format!("SET {}", parts.join(", ")))]
            }
        };
        Ok(Plan { steps, shows: None })
    }

    fn not_public(&self, names: &[Name]) -> Result<(), Denied> {
        if names.contains(&Name::Public) {
            return Err(Denied::privilege(
                "PUBLIC can have rights on single schemas alone",
            ));
        }
        Ok(())
    }

    /// The step that changes what an account may manage, if it changes.
    fn flag(&self, name: &Name, to: impl Fn(Manager) -> Manager) -> Option<Step> {
        let Name::Account { user, host } = name else {
            return None;
        };
        let now = self.facts.manager(user, host);
        let manager = to(now);
        (manager != now).then(|| Step::Flag {
            user: user.clone(),
            host: host.clone(),
            manager,
        })
    }

    /// Makes the accounts or changes them as a `GRANT` says, before any right is given; then protects them.
    fn prepare(&self, users: &[User], options: &Options, on_server: &str) -> Vec<Step> {
        let changes = users.iter().any(|user| user.identified.is_some()) || !options.is_empty();
        let missing = users.iter().any(|user| !self.exists(&user.name));
        let mut steps = Vec::new();
        // without IDENTIFIED, the server answers with the error that an account does not exist
        if changes || missing || on_server != "USAGE" {
            steps.push(Step::Run(format!(
                "GRANT {on_server} ON *.* TO {}{}",
                render::users(users),
                render::options(options, false)
            )));
        }
        steps.extend(users.iter().filter_map(|user| protect(&user.name)));
        steps
    }

    fn grant(
        &self,
        privileges: &Privileges,
        on: &Object,
        to: &[User],
        options: &Options,
        grant_option: bool,
    ) -> Result<Vec<Step>, Denied> {
        let (on, extent) = names::check_object(on)?;
        let names = names_of(to);
        if extent != Extent::Schema || grant_option || !options.is_empty() {
            self.not_public(&names)?;
        }
        if extent != Extent::Server {
            if let Some(privilege) = others(privileges, Reach::Schema).next() {
                // ER_ILLEGAL_GRANT_FOR_TABLE
                return Err(Denied {
                    code: 1144,
                    state: "42000",
                    message: format!("{} can be granted on *.* only", privilege.name()),
                });
            }
            if grant_option && extent == Extent::WidePattern {
                return Err(Denied::privilege(
                    "GRANT OPTION on a pattern that matches the server's own schemas; name the schema, or grant \
                     ALL PRIVILEGES ON *.* WITH GRANT OPTION",
                ));
            }
            let mut steps = self.prepare(to, options, "USAGE");
            let grant = Statement::Grant {
                privileges: privileges.clone(),
                on,
                to: plain(to),
                options: Options::default(),
                grant_option,
            };
            steps.push(Step::Run(render::statement(&grant)));
            return Ok(steps);
        }
        let all = *privileges == Privileges::All;
        if grant_option && !all {
            return Err(Denied::privilege(
                "on *.*, only ALL PRIVILEGES can be given WITH GRANT OPTION; name a schema for single privileges",
            ));
        }
        if let Some((name, why)) = refused(privileges) {
            return Err(Denied::privilege(&format!(
                "{name} is not given to accounts of a database: {why}; leave it out"
            )));
        }
        let users = others(privileges, Reach::Schema).any(|one| one.reach() == Reach::Dormouse);
        let manager = match (all, grant_option, users) {
            (true, true, _) => Manager::Owner,
            (true, false, _) | (false, _, true) => Manager::Users,
            (false, _, false) => Manager::None,
        };
        let is_role = |name: &Name| matches!(name, Name::Bare(_));
        if manager != Manager::None && !all && names.iter().any(is_role)
            || manager == Manager::Owner && names.iter().any(is_role)
        {
            return Err(Denied::privilege(
                "the right to manage accounts is given to accounts, not to roles",
            ));
        }
        let mut steps = self.prepare(to, options, &on_server(privileges));
        if let Some(on_schemas) = on_schemas(privileges)? {
            let grant = Statement::Grant {
                privileges: on_schemas,
                on: Object::Schema(ALL_SCHEMAS.to_owned()),
                to: plain(to),
                options: Options::default(),
                grant_option: false,
            };
            steps.push(Step::Run(render::statement(&grant)));
        }
        steps.extend(
            names
                .iter()
                .filter_map(|name| self.flag(name, |now| now.max(manager))),
        );
        Ok(steps)
    }

    fn revoke(
        &self,
        privileges: &Privileges,
        on: &Object,
        from: &[Name],
        grant_option: bool,
    ) -> Result<Vec<Step>, Denied> {
        let (on, extent) = names::check_object(on)?;
        if extent != Extent::Schema {
            self.not_public(from)?;
        }
        let revoke = |privileges: Privileges, on: Object, grant_option, from: &[Name]| {
            render::statement(&Statement::Revoke {
                privileges,
                grant_option,
                on,
                from: from.to_vec(),
            })
        };
        if extent != Extent::Server {
            let steps = |from: Vec<Name>| {
                let text = revoke(privileges.clone(), on.clone(), grant_option, &from);
                vec![Step::Run(text)]
            };
            return Ok(self.revoke_from(from, |now| now, steps));
        }
        let on_schemas = on_schemas(privileges)?;
        let all = *privileges == Privileges::All;
        let users = others(privileges, Reach::Schema).any(|one| one.reach() == Reach::Dormouse);
        let left = |now: Manager| match (all || users, grant_option) {
            (true, _) => Manager::None,
            (false, true) => now.min(Manager::Users),
            (false, false) => now,
        };
        let steps = |from: Vec<Name>| {
            let mut steps = vec![Step::Run(format!(
                "REVOKE {} ON *.* FROM {}",
                on_server(privileges),
                render::names(&from)
            ))];
            if let Some(on_schemas) = on_schemas.clone() {
                let on = Object::Schema(ALL_SCHEMAS.to_owned());
                steps.push(Step::RunIfGranted(revoke(on_schemas, on, false, &from)));
            }
            steps
        };
        Ok(self.revoke_from(from, left, steps))
    }

    /// What Dormouse keeps goes first, then what the server keeps: a plan that ends early leaves too little. The error
    /// about those who do not exist comes last, since a server takes from the others nevertheless.
    fn revoke_from(
        &self,
        from: &[Name],
        left: impl Fn(Manager) -> Manager,
        revoke: impl Fn(Vec<Name>) -> Vec<Step>,
    ) -> Vec<Step> {
        let (existing, missing): (Vec<Name>, Vec<Name>) =
            from.iter().cloned().partition(|name| self.exists(name));
        let flags = existing.iter().filter_map(|name| self.flag(name, &left));
        let mut steps: Vec<Step> = flags.collect();
        let protections: Vec<Step> = existing.iter().filter_map(protect).collect();
        if !existing.is_empty() {
            steps.extend(revoke(existing));
        }
        steps.extend(protections);
        if !missing.is_empty() {
            steps.extend(revoke(missing));
        }
        steps
    }

    /// The database keeps an owner that is not the one who takes the right away.
    fn leaves_an_owner(&self, steps: &[Step], statement: &Statement) -> Result<(), Denied> {
        let mut losing: Vec<(&str, &str)> = Vec::new();
        for step in steps {
            if let Step::Flag {
                user,
                host,
                manager,
            } = step
                && *manager != Manager::Owner
            {
                losing.push((user, host));
            }
        }
        let dropped: Vec<&Name> = match statement {
            Statement::DropUser { users, .. } => users.iter().collect(),
            Statement::CreateUser {
                or_replace: true,
                users,
                ..
            } => users.iter().map(|user| &user.name).collect(),
            _ => Vec::new(),
        };
        losing.extend(dropped.into_iter().filter_map(|name| match name {
            Name::Account { user, host } => Some((user.as_str(), host.as_str())),
            _ => None,
        }));
        let mut owners = self
            .facts
            .0
            .iter()
            .filter(|one| one.manager == Manager::Owner);
        let loses = |user: &str, host: &str| {
            let is = |(u, h): &(&str, &str)| *u == user && h.eq_ignore_ascii_case(host);
            losing.iter().any(is)
        };
        let takes_one = owners.clone().any(|one| loses(&one.user, &one.host));
        if takes_one && owners.all(|one| loses(&one.user, &one.host)) {
            return Err(Denied::privilege(
                "the database would have no owner left; make another account its owner first (GRANT ALL \
                 PRIVILEGES ON *.* TO … WITH GRANT OPTION)",
            ));
        }
        Ok(())
    }
}

fn protect(name: &Name) -> Option<Step> {
    let (user, host) = match name {
        Name::Account { user, host } => (user.clone(), host.clone()),
        Name::Bare(role) => (role.clone(), String::new()),
        Name::Public => ("PUBLIC".to_owned(), String::new()),
        Name::Current => return None,
    };
    Some(Step::Protect { user, host })
}

/// The grantees without what changes their accounts.
fn plain(users: &[User]) -> Vec<User> {
    let plain = |user: &User| User {
        name: user.name.clone(),
        identified: None,
    };
    users.iter().map(plain).collect()
}

/// The privileges with another reach than this.
fn others(privileges: &Privileges, reach: Reach) -> impl Iterator<Item = Privilege> {
    let all = match privileges {
        Privileges::All => &[],
        Privileges::List(all) => all.as_slice(),
    };
    let all = all.iter().map(|(privilege, _)| *privilege);
    all.filter(move |one| one.reach() != reach)
}

fn refused(privileges: &Privileges) -> Option<(&'static str, &'static str)> {
    others(privileges, Reach::Schema).find_map(|one| match one.reach() {
        Reach::Refused(why) => Some((one.name(), why)),
        _ => None,
    })
}

/// The part of the privileges that the server keeps for itself as a whole.
fn on_server(privileges: &Privileges) -> String {
    let names: Vec<&str> = match privileges {
        Privileges::All => OF_ALL.to_vec(),
        Privileges::List(_) => others(privileges, Reach::Schema)
            .filter(|one| one.reach() != Reach::Dormouse)
            .map(Privilege::name)
            .collect(),
    };
    if names.is_empty() {
        "USAGE".to_owned()
    } else {
        names.join(", ")
    }
}

/// The part of the privileges that the server keeps for each schema.
fn on_schemas(privileges: &Privileges) -> Result<Option<Privileges>, Denied> {
    let Privileges::List(all) = privileges else {
        return Ok(Some(Privileges::All));
    };
    let of_schemas: Vec<_> = all
        .iter()
        .filter(|(one, _)| one.reach() == Reach::Schema)
        .cloned()
        .collect();
    if of_schemas.iter().any(|(_, columns)| !columns.is_empty()) {
        // ER_WRONG_USAGE
        return Err(Denied {
            code: 1221,
            state: "HY000",
            message: "Incorrect usage of COLUMN GRANT and GLOBAL PRIVILEGES".to_owned(),
        });
    }
    Ok((!of_schemas.is_empty()).then_some(Privileges::List(of_schemas)))
}

/// A variable's name, shortened.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}
