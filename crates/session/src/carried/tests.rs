use super::*;

fn rows(all: &[&[Option<&str>]]) -> Rows {
    let value = |value: &Option<&str>| value.map(|text| text.as_bytes().to_vec());
    all.iter()
        .map(|row| row.iter().map(value).collect())
        .collect()
}

fn columns(all: &[(&str, &str, &str)]) -> Rows {
    let row = |(name, kind, extra): &(&str, &str, &str)| {
        let all = [name, kind, "", "YES", "", "", extra];
        all.map(|text| Some(text.as_bytes().to_vec())).to_vec()
    };
    all.iter().map(row).collect()
}

fn create(rest: &str) -> Rows {
    let text = format!("CREATE TEMPORARY TABLE `t` (\n  `a` int(11)\n) {rest}");
    rows(&[&[Some("t"), Some(&text)]])
}

#[test]
fn a_table_is_made_again_with_its_rows() {
    let columns = columns(&[
        ("a", "int(11)", "auto_increment"),
        ("b`c", "varchar(10)", ""),
        ("v", "int(11)", "VIRTUAL GENERATED"),
    ]);
    let definition = create("ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=latin1");
    let table = Table::read("`d`.`t`", &definition, &columns).unwrap();
    let question = table.rows_question();
    assert!(
        question.contains("HEX(`b``c`)") && !question.contains("`v`"),
        "{question}"
    );
    let mut tables = Tables::default();
    assert!(tables.add(
        &table,
        &rows(&[&[Some("1"), Some("X'E4'")], &[Some("2"), Some("NULL")]])
    ));
    let made: Vec<_> = { tables.statements().iter() }
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect();
    assert!(made[0].ends_with(
        "CREATE TEMPORARY TABLE `d`.`t` (\n  `a` int(11)\n) ENGINE=InnoDB AUTO_INCREMENT=7 \
         DEFAULT CHARSET=latin1"
    ));
    assert!(made[1].ends_with("INSERT INTO `d`.`t` (`a`, `b``c`) VALUES (1,X'E4'),(2,NULL)"));
    assert_eq!(made.len(), 2);
}

#[test]
fn what_is_not_plain_or_too_large_is_not_carried() {
    let plain = columns(&[("a", "int(11)", "")]);
    for rest in ["ENGINE=MRG_MyISAM", "ENGINE=InnoDB WITH SYSTEM VERSIONING"] {
        assert!(
            Table::read("`d`.`t`", &create(rest), &plain).is_none(),
            "{rest}"
        );
    }
    let unknown = columns(&[("a", "hypercube", "")]);
    assert!(Table::read("`d`.`t`", &create("ENGINE=Aria"), &unknown).is_none());
    let table = Table::read("`d`.`t`", &create("ENGINE=Aria"), &plain).unwrap();
    let long = "1".repeat(300 << 10);
    let row: &[Option<&str>] = &[Some(&long)];
    let mut tables = Tables::default();
    assert!(tables.add(&table, &rows(&[row, row, row])));
    assert!(!tables.add(&table, &rows(&[row])));
}
