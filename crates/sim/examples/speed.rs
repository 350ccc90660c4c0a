use dormouse_sim::*;
fn main() {
    let n: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let sim = Simulation::new(
        Fleet::Made {
            databases: n,
            days: 30,
            seed: 1,
        },
        Prices::default(),
        std::time::Instant::now(),
    );
    let t = std::time::Instant::now();
    let mut all = Tally::default();
    for h in 0..sim.hosts() {
        all.merge(&sim.live(h, Default::default()));
    }
    println!("{n} databases: {:?}", t.elapsed());
}
