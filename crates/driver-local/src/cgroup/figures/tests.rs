use super::*;

fn parsed(files: &[(CounterFile, &str)]) -> Figures {
    let mut known = Figures::default();
    for (file, text) in files {
        file.note(text, &mut known);
    }
    known
}

#[test]
fn v2_files_are_parsed() {
    let cpu = "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\nnice_usec 0\ncore_sched.force_idle_usec 0\n\
               nr_periods 30\nnr_throttled 7\nthrottled_usec 250000\nnr_bursts 0\nburst_usec 0\n";
    let events = "low 0\nhigh 5\nmax 2\noom 1\noom_kill 1\noom_group_kill 0\n";
    let pressure = "some avg10=0.12 avg60=0.05 avg300=0.01 total=8765\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=4321\n";
    let known = parsed(&[
        (CounterFile::CpuStatV2, cpu),
        (CounterFile::MemoryCurrent, "123456\n"),
        (CounterFile::MemoryEvents, events),
        (CounterFile::MemoryPressure, pressure),
        (CounterFile::CgroupEvents, "populated 1\nfrozen 1\n"),
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
fn v2_without_controllers_counts_cpu_only() {
    let known = parsed(&[
        (
            CounterFile::CpuStatV2,
            "usage_usec 12\nuser_usec 10\nsystem_usec 2\n",
        ),
        (CounterFile::CgroupEvents, "populated 1\nfrozen 0\n"),
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
fn v1_files_are_parsed() {
    let known = parsed(&[
        (CounterFile::CpuacctUsage, "1500000123\n"),
        (
            CounterFile::CpuStatV1,
            "nr_periods 9\nnr_throttled 4\nthrottled_time 31415926\nnr_bursts 0\nburst_time 0\n",
        ),
        (CounterFile::MemoryUsage, "4096\n"),
        (CounterFile::MemoryFailcnt, "3\n"),
        (
            CounterFile::MemoryOomControl,
            "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        ),
        (CounterFile::FreezerState, "FREEZING\n"),
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
    assert!(parsed(&[(CounterFile::FreezerState, "FROZEN\n")]).frozen);
}

#[test]
fn missing_values_are_none() {
    for file in [
        CounterFile::CpuacctUsage,
        CounterFile::CpuStatV1,
        CounterFile::CpuStatV2,
        CounterFile::MemoryUsage,
        CounterFile::MemoryFailcnt,
        CounterFile::MemoryOomControl,
        CounterFile::MemoryPressure,
    ] {
        for text in [
            "",
            "nonsense",
            "usage_usec\noom_kill x\nsome total=\n",
            "-1\n",
        ] {
            assert_eq!(
                parsed(&[(file, text)]),
                Figures::default(),
                "{file:?} {text}"
            );
        }
    }
}

#[test]
fn counters_of_an_earlier_process_are_subtracted() {
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
