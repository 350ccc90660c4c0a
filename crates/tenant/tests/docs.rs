//! The tables of docs/accounts.md are those of the code. `DORMOUSE_WRITE_DOCS=1` writes them.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fmt::Write as _;
use std::path::Path;

use dormouse_tenant::privileges::{Privilege, Reach};
use dormouse_tenant::variables::{VARIABLES, Values};

fn privileges() -> String {
    let mut out = String::from("| privilege | for accounts of a database |\n|---|---|\n");
    let of_schemas: Vec<_> = Privilege::all()
        .filter(|one| one.reach() == Reach::Schema)
        .map(|one| format!("`{}`", one.name()))
        .collect();
    writeln!(
        out,
        "| {} | on schemas, and on all with `*.*` |",
        of_schemas.join(", ")
    )
    .unwrap();
    for one in Privilege::all() {
        let names: Vec<_> = std::iter::once(one.name())
            .chain(one.aliases().iter().copied())
            .map(|name| format!("`{name}`"))
            .collect();
        let what = match one.reach() {
            Reach::Schema => continue,
            Reach::Server => "on `*.*`".to_owned(),
            Reach::Dormouse => {
                "on `*.*`, kept by Dormouse: the right to manage accounts".to_owned()
            }
            Reach::Refused(why) => format!("no: {why}"),
        };
        writeln!(out, "| {} | {what} |", names.join(", ")).unwrap();
    }
    out
}

fn variables() -> String {
    let mut out = String::from("| variable | values | why |\n|---|---|---|\n");
    for one in &VARIABLES {
        let values = match one.values {
            Values::Switch => "`ON`, `OFF`".to_owned(),
            Values::Whole(least, i64::MAX) => format!("from {least}"),
            Values::Whole(least, most) => format!("{least} to {most}"),
            Values::Fraction(most) => format!("0 to {most}, with decimals"),
            Values::Words => "the server's".to_owned(),
            Values::Engine => "`InnoDB`, `Aria`, `MyISAM`, `MEMORY`, `CSV`".to_owned(),
        };
        writeln!(out, "| `{}` | {values} | {} |", one.name, one.reason).unwrap();
    }
    out
}

#[test]
fn the_tables_of_the_documentation_are_those_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/accounts.md");
    let mut page = std::fs::read_to_string(&path).unwrap();
    for (name, table) in [("privileges", privileges()), ("variables", variables())] {
        let mark = format!("<!-- generated: {name} -->\n");
        let start = page.find(&mark).unwrap() + mark.len();
        let rest = &page[start..];
        // the table ends at the first line that is none of its rows
        let length: usize = rest
            .split_inclusive('\n')
            .take_while(|line| line.starts_with('|'))
            .map(str::len)
            .sum();
        if std::env::var_os("DORMOUSE_WRITE_DOCS").is_some() {
            page.replace_range(start..start + length, &table);
        } else {
            assert_eq!(&rest[..length], table, "DORMOUSE_WRITE_DOCS=1 writes it");
        }
    }
    std::fs::write(&path, page).unwrap();
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = VARIABLES.iter().map(|one| one.name).collect();
    names
        .extend(Privilege::all().flat_map(|one| one.aliases().iter().copied().chain([one.name()])));
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}
