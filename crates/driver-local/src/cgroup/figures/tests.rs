use super::*;

fn said(sheets: &[(Sheet, &str)]) -> Figures {
    let mut known = Figures::default();
    for (sheet, text) in sheets {
        sheet.note(text, &mut known);
    }
    known
}

#[test]
fn the_second_version() {
    let cpu = "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\nnice_usec 0\ncore_sched.force_idle_usec 0\n\
               nr_periods 30\nnr_throttled 7\nthrottled_usec 250000\nnr_bursts 0\nburst_usec 0\n";
    let events = "low 0\nhigh 5\nmax 2\noom 1\noom_kill 1\noom_group_kill 0\n";
    let pressure = "some avg10=0.12 avg60=0.05 avg300=0.01 total=8765\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=4321\n";
    let known = said(&[
        (Sheet::CpuStatV2, cpu),
        (Sheet::MemoryCurrent, "123456\n"),
        (Sheet::MemoryEvents, events),
        (Sheet::MemoryPressure, pressure),
        (Sheet::CgroupEvents, "populated 1\nfrozen 1\n"),
    ]);
    assert_eq!(
        known,
        Figures {
            cpu: Some(Duration::from_millis(1500)),
            memory: Some(Bytes(123_456)),
            strain: Some(Strain {
                throttled: Duration::from_millis(250),
                stalled: Duration::from_micros(8765),
                limit_hits: 7,
                oom_kills: 1,
            }),
            frozen: true,
        }
    );
}

#[test]
fn the_second_version_without_controllers_counts_cpu_alone() {
    let known = said(&[
        (
            Sheet::CpuStatV2,
            "usage_usec 12\nuser_usec 10\nsystem_usec 2\n",
        ),
        (Sheet::CgroupEvents, "populated 1\nfrozen 0\n"),
    ]);
    let cpu = Some(Duration::from_micros(12));
    assert_eq!(
        known,
        Figures {
            cpu,
            ..Figures::default()
        }
    );
}

#[test]
fn the_first_version() {
    let known = said(&[
        (Sheet::CpuacctUsage, "1500000123\n"),
        (
            Sheet::CpuStatV1,
            "nr_periods 9\nnr_throttled 4\nthrottled_time 31415926\nnr_bursts 0\nburst_time 0\n",
        ),
        (Sheet::MemoryUsage, "4096\n"),
        (Sheet::MemoryFailcnt, "3\n"),
        (
            Sheet::MemoryOomControl,
            "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        ),
        (Sheet::FreezerState, "FREEZING\n"),
    ]);
    assert_eq!(
        known,
        Figures {
            cpu: Some(Duration::from_nanos(1_500_000_123)),
            memory: Some(Bytes(4096)),
            strain: Some(Strain {
                throttled: Duration::from_nanos(31_415_926),
                stalled: Duration::ZERO,
                limit_hits: 3,
                oom_kills: 2,
            }),
            frozen: false,
        }
    );
    assert!(said(&[(Sheet::FreezerState, "FROZEN\n")]).frozen);
}

#[test]
fn what_no_file_tells_is_absent() {
    for sheet in [
        Sheet::CpuacctUsage,
        Sheet::CpuStatV1,
        Sheet::CpuStatV2,
        Sheet::MemoryUsage,
        Sheet::MemoryFailcnt,
        Sheet::MemoryOomControl,
        Sheet::MemoryPressure,
    ] {
        for text in [
            "",
            "nonsense",
            "usage_usec\noom_kill x\nsome total=\n",
            "-1\n",
        ] {
            assert_eq!(
                said(&[(sheet, text)]),
                Figures::default(),
                "{sheet:?} {text}"
            );
        }
    }
}

#[test]
fn what_an_earlier_process_left_does_not_count() {
    let figures = |cpu, hits| Figures {
        cpu: Some(Duration::from_secs(cpu)),
        memory: Some(Bytes(cpu)),
        strain: Some(Strain {
            limit_hits: hits,
            ..Strain::default()
        }),
        frozen: false,
    };
    let now = figures(10, 5);
    let since = now.since(&figures(4, 2));
    assert_eq!(
        since,
        Figures {
            memory: Some(Bytes(10)),
            ..figures(6, 3)
        }
    );
    assert_eq!(now.since(&Figures::default()), now);
}
