//! What a GTID event tells.
#![allow(clippy::unwrap_used, reason = "what fails fails its test")]

use super::*;

/// What a GTID event with this body tells of its connection.
fn told(body: &str) -> Result<Option<u32>, Wrong> {
    let body: Vec<u8> = (0..body.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&body[at..at + 2], 16).unwrap())
        .collect();
    let mut event = vec![0; HEADER];
    event[4] = 162;
    event.extend(body);
    match other(&event, false)?.1 {
        Body::Gtid { connection, .. } => Ok(connection),
        body => unreachable!("{body:?}"),
    }
}

#[test]
fn the_connection_that_wrote_a_group_is_told_behind_all_that_stands_before_it() {
    // of MariaDB 11.8.9, each with pseudo_thread_id = 1073742115 where nothing else is said
    const ID: u32 = 1_073_742_115;
    let table = [
        (
            "a statement",
            "1500000000000000000000000c102301004000",
            Some(ID),
        ),
        (
            "without transactions",
            "10000000000000000000000008102301004000",
            Some(ID),
        ),
        (
            "a definition",
            "14000000000000000000000029102301004000",
            Some(ID),
        ),
        (
            "begins ALTER",
            "1a000000000000000000000029122301004000",
            Some(ID),
        ),
        (
            "ends ALTER",
            "1b000000000000000000000029141a0000000000000023010040",
            Some(ID),
        ),
        (
            "XA PREPARE",
            "1200000000000000000000004c070000000302616263646511ff23010040",
            Some(ID),
        ),
        (
            "XA COMMIT",
            "1300000000000000000000008d07000000030261626364651023010040",
            Some(ID),
        ),
        (
            "committed with others",
            "6800000000000000000000000e9a00000000000000100f000000",
            Some(15),
        ),
        // MariaDB 10.11 does not tell
        ("10.11", "0300000000000000000000000c000000000000", None),
        ("no more than flags", "0300000000000000000000000c", None),
    ];
    for (what, body, expected) in table {
        assert_eq!(told(body), Ok(expected), "{what}");
    }
    for cut in [
        "1500000000000000000000000c1023",
        "6800000000000000000000000e9a00",
    ] {
        assert!(told(cut).is_err(), "{cut}");
    }
}
