//! Draws a round as SVG.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use plotters::prelude::*;

use super::Pictured;
use super::watch::Sample;

const SIZE: (u32, u32) = (960, 420);
const ALLOWED: RGBColor = RGBColor(0x1f, 0x4e, 0x9c);
const USED: RGBColor = RGBColor(0x6f, 0xb1, 0x4c);
const STATEMENTS: RGBColor = RGBColor(0xd0, 0x6a, 0x1e);

/// Draws CPU allowed and used, and statements per second, over the time since the load began.
pub(super) fn draw(round: &Pictured, path: &Path) -> anyhow::Result<()> {
    // the library's errors are not `Sync`
    try_draw(round, path).map_err(|error| anyhow::anyhow!("{error}"))
}

fn try_draw(round: &Pictured, path: &Path) -> Result<(), Box<dyn Error>> {
    let samples = &round.seen.samples;
    let seconds = |at: Instant| match at.checked_duration_since(round.began) {
        Some(after) => after.as_secs_f64(),
        None => -(round.began - at).as_secs_f64(),
    };
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return Err("nothing was seen".into());
    };
    // with space for the legend at the top
    let largest = |of: fn(&Sample) -> f64| samples.iter().map(of).fold(1.0, f64::max) * 1.4;
    let time = seconds(first.at)..seconds(last.at);

    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .caption(
            "CPU of a database when load comes and goes",
            ("sans-serif", 18),
        )
        .x_label_area_size(40)
        .y_label_area_size(50)
        .right_y_label_area_size(70)
        .build_cartesian_2d(time.clone(), 0.0..largest(|s| s.allowed.max(s.used)))?
        .set_secondary_coord(time, 0.0..largest(|s| s.per_second));
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|seconds| format!("{seconds:.0}"))
        .x_desc("seconds since the load began")
        .y_desc("CPU, in cores")
        .draw()?;
    chart
        .configure_secondary_axes()
        .y_desc("statements a second")
        .y_label_formatter(&|n| format!("{n:.0}"))
        .draw()?;

    let line = |of: fn(&Sample) -> f64| samples.iter().map(move |s| (seconds(s.at), of(s)));
    let key = |colour: RGBColor| {
        move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2))
    };
    let per_second = line(|s| s.per_second);
    chart
        .draw_secondary_series(LineSeries::new(per_second, STATEMENTS))?
        .label("statements a second")
        .legend(key(STATEMENTS));
    chart
        .draw_series(LineSeries::new(line(|s| s.used), USED))?
        .label("CPU used")
        .legend(key(USED));
    // the limit changes in steps
    let steps = samples.windows(2).flat_map(|pair| {
        let [before, now] = [pair[0], pair[1]];
        let at = seconds(now.at);
        [(at, before.allowed), (at, now.allowed)]
    });
    chart
        .draw_series(LineSeries::new(steps, ALLOWED.stroke_width(2)))?
        .label("CPU allowed")
        .legend(key(ALLOWED));
    let top = largest(|s| s.allowed.max(s.used));
    let ended = seconds(round.ended);
    chart.draw_series([PathElement::new(
        [(ended, 0.0), (ended, top)],
        BLACK.mix(0.3),
    )])?;
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(())
}
