use super::*;

const HEADER: &str = r#"{"dormouse_trace":1,"from":1000000,"to":9000000}"#;
const SHOP: &str =
    r#"{"database":"shop","state":"parked","activity":[[1000000,1500000,20],[2000000,2000000,0]]}"#;

fn read(lines: &[&str]) -> Result<Trace, String> {
    let text = lines.join("\n");
    Trace::read(text.as_bytes()).map_err(|e| e.to_string())
}

#[test]
fn a_written_trace_is_read_back() {
    let blog = r#"{"database":"blog","spec":{"idle_park":"1h"},"state":"active","from":2000000,"to":3000000,"activity":[]}"#;
    let header = r#"{"dormouse_trace":1,"from":1000000,"to":9000000,"timing":{"start_us":93500}}"#;
    let trace = read(&[header, SHOP, "", blog]).unwrap();
    assert_eq!(trace.databases.len(), 2);
    assert_eq!(trace.timing.start, 93_500);
    assert_eq!(trace.timing.thaw, Timing::default().thaw);
    let mut written = Vec::new();
    trace.write(&mut written).unwrap();
    assert_eq!(Trace::read(written.as_slice()).unwrap(), trace);
}

#[test]
fn invalid_traces_are_refused_with_line_and_reason() {
    for (lines, line, reason) in [
        (vec![], 1, "it is empty"),
        (vec![HEADER], 2, "no databases"),
        (vec!["not json"], 1, "expected"),
        (
            vec![r#"{"dormouse_trace":2,"from":1,"to":2}"#],
            1,
            "version 2; this program reads version 1",
        ),
        (
            vec![r#"{"dormouse_trace":1,"from":2,"to":2}"#],
            1,
            "ten years",
        ),
        (
            vec![r#"{"dormouse_trace":1,"from":0,"to":999999999999999}"#],
            1,
            "ten years",
        ),
        (
            vec![r#"{"dormouse_trace":1,"from":1,"to":2,"timing":{"park_us":99999999999}}"#],
            1,
            "more than an hour",
        ),
        (vec![HEADER, SHOP, "", SHOP], 4, "'shop' occurs twice"),
        (
            vec![
                HEADER,
                r#"{"database":"Shop","state":"parked","activity":[]}"#,
            ],
            2,
            "1 to 63",
        ),
        (
            vec![HEADER, r#"{"database":"a","state":"failed","activity":[]}"#],
            2,
            "not a valid state",
        ),
        (
            vec![
                HEADER,
                r#"{"database":"a","state":"parked","activity":[],"x":1}"#,
            ],
            2,
            "unknown field",
        ),
        (
            vec![
                HEADER,
                r#"{"database":"a","state":"parked","from":1,"activity":[]}"#,
            ],
            2,
            "not within",
        ),
        (
            vec![
                HEADER,
                r#"{"database":"a","state":"parked","activity":[[2000000,3000000,1],[2500000,2600000,1]]}"#,
            ],
            2,
            "overlaps",
        ),
        (
            vec![
                HEADER,
                r#"{"database":"a","state":"parked","activity":[[1,2000000,1]]}"#,
            ],
            2,
            "outside",
        ),
        (
            vec![
                HEADER,
                r#"{"database":"a","state":"parked","activity":[[2000000,1,1]]}"#,
            ],
            2,
            "order",
        ),
        (
            vec![
                HEADER,
                r#"{"database":"a","state":"parked","activity":[[1000000,2000000,9999999999999]]}"#,
            ],
            2,
            "CPU",
        ),
        (
            vec![
                HEADER,
                r#"{"database":"a","state":"parked","activity":[[1000000,2000000]]}"#,
            ],
            2,
            "length",
        ),
        (
            vec![
                HEADER,
                r#"{"database":"a","state":"parked","activity":[[-1,2000000,1]]}"#,
            ],
            2,
            "invalid value",
        ),
        (
            vec![
                HEADER,
                r#"{"database":"a","spec":{"idle_perk":"1s"},"state":"parked","activity":[]}"#,
            ],
            2,
            "unknown setting 'idle_perk'",
        ),
    ] {
        let refused = read(&lines).expect_err(&format!("{lines:?} was accepted"));
        let expected = format!("line {line}: ");
        assert!(
            refused.starts_with(&expected) && refused.contains(reason),
            "{refused:?} is not {expected}…{reason}"
        );
    }
}

#[test]
fn a_line_that_is_too_long_is_refused_before_it_is_read_completely() {
    struct Endless;
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(b'x');
            Ok(buffer.len())
        }
    }
    let endless = io::BufReader::new(Endless);
    let refused = Trace::read(endless).unwrap_err().to_string();
    assert_eq!(refused, "line 1: longer than 67108864 bytes");
}

#[test]
fn a_trace_of_extremes_can_be_simulated() {
    let day = 86_400_000;
    let header = format!(r#"{{"dormouse_trace":1,"from":0,"to":{}}}"#, 2 * day);
    let row = |name: &str, cpu: u64| {
        format!(
            r#"{{"database":"{name}","spec":{{"units":"1..512","idle_suspend":"{max}s"}},"state":"parked","activity":[[5,5,{cpu}],[5,{day},1]]}}"#,
            max = u64::MAX / 1_000_000_000
        )
    };
    let extreme = read(&[&header, &row("a", CPU_MOST - 3), &row("b", 1)]).unwrap();
    let fleet = crate::Fleet::Recorded(extreme);
    let prices = crate::model::usual_prices();
    let simulation = crate::Simulation::new(fleet, prices, std::time::Instant::now());
    let life = simulation.live(0, crate::SettingsPatch::default()).sum;
    assert_eq!(life.cpu, CPU_MOST * MS);
    let refused = read(&[&header, &row("a", CPU_MOST - 3), &row("b", 2)]);
    assert!(refused.unwrap_err().contains("line 3: more than"));
}

proptest::proptest! {
    #[test]
    fn any_trace_is_refused_or_can_be_simulated(
        text in r#"\{"dormouse_trace":1,"from":[0-9]{1,4},"to":[0-9]{1,5}\}\n(\{"database":"[ab]","state":"(active|parked|suspended)","activity":\[(\[[0-9]{1,4},[0-9]{1,4},[0-9]{1,9}\]){0,1}\]\}\n){1,3}"#
    ) {
        if let Ok(trace) = Trace::read(text.as_bytes()) {
            let existed: u64 = trace.databases.iter().map(|row| {
                let (from, to) = trace.born(row);
                to - from
            }).sum();
            let fleet = crate::Fleet::Recorded(trace);
            let simulation = crate::Simulation::new(fleet, crate::model::usual_prices(), std::time::Instant::now());
            let life = simulation.live(0, crate::SettingsPatch::default()).sum;
            proptest::prop_assert_eq!(life.active + life.suspended + life.parked + life.between, existed);
        }
    }

    #[test]
    fn no_bytes_cause_a_panic(bytes in proptest::collection::vec(0u8.., 0..300)) {
        let _ = Trace::read(bytes.as_slice());
    }
}
