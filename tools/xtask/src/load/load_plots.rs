//! Plots of a load as SVG: latency over time, the distribution of latencies, processor time by process.

use std::fmt::Write as _;

use super::{
    order_times::{LatencyKind, by_second, latencies},
    report::{LoadReport, as_float},
};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 420.0;
/// Space for the numbers of an axis, and for the names of lines.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 210.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;

/// Colours that people of any sight tell apart: Okabe and Ito's, but for yellow, and three greys.
const COLOURS: [&str; 11] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7a4fbf",
    "#555555", "#888888", "#bbbbbb",
];

/// A point of a line.
pub type PlotPoint = (f64, f64);

/// Lines over one pair of axes. `x_names` are numbers on the x axis and what stands below them.
#[derive(Debug, Default)]
pub struct LinePlot {
    pub title: String,
    pub x_title: String,
    pub y_title: String,
    pub lines: Vec<(String, Vec<PlotPoint>)>,
    pub x_names: Vec<(f64, String)>,
}

/// Every plot of a load, with the name of its file.
pub fn all(report: &LoadReport) -> anyhow::Result<Vec<(&'static str, String)>> {
    Ok(vec![
        ("latency-over-time.svg", over_time(report)?.svg()),
        ("latency-distribution.svg", distribution(report)?.svg()),
        ("cpu-by-process.svg", processor_time(report).svg()),
    ])
}

fn over_time(report: &LoadReport) -> anyhow::Result<LinePlot> {
    let mut lines = vec![];
    for kind in [LatencyKind::Accepted, LatencyKind::Confirmed, LatencyKind::Notified] {
        let seconds = by_second(&report.orders, kind)?;
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
            let filled = (1_u64..).zip(&seconds).filter(|(_, histogram)| !histogram.is_empty());
            let point = |(second, histogram): (u64, &hdrhistogram::Histogram<u64>)| {
                (as_float(second), as_float(histogram.value_at_quantile(quantile)) / 1e3)
            };
            lines.push((format!("{} {name}", kind.name()), filled.map(point).collect()));
        }
    }
    Ok(LinePlot {
        title: "Latency over time".to_owned(),
        x_title: "seconds since the first POST".to_owned(),
        y_title: "milliseconds".to_owned(),
        lines,
        ..LinePlot::default()
    })
}

/// The x axis is the share of orders that took longer, as its negative logarithm.
fn distribution(report: &LoadReport) -> anyhow::Result<LinePlot> {
    let mut lines = vec![];
    for kind in LatencyKind::ALL {
        let histogram = latencies(&report.orders, kind)?;
        let nines = as_float(histogram.len().max(1)).log10();
        let step = |n: u32| f64::from(n) / 50.0;
        let steps = (0..).map(step).take_while(|x| *x <= nines);
        let value = |x: f64| histogram.value_at_quantile(1.0 - 10_f64.powf(-x));
        let points = steps.map(|x| (x, as_float(value(x)) / 1e3)).collect();
        lines.push((kind.name().to_owned(), if histogram.is_empty() { vec![] } else { points }));
    }
    let names = [
        (0.0, "0"),
        (0.301, "50 %"),
        (1.0, "90 %"),
        (2.0, "99 %"),
        (3.0, "99.9 %"),
        (4.0, "99.99 %"),
        (5.0, "99.999 %"),
    ];
    Ok(LinePlot {
        title: "Distribution of latencies".to_owned(),
        x_title: "share of orders that took no longer".to_owned(),
        y_title: "milliseconds".to_owned(),
        lines,
        x_names: names.map(|(x, name)| (x, name.to_owned())).into(),
    })
}

fn processor_time(report: &LoadReport) -> LinePlot {
    LinePlot {
        title: "Processor time by process".to_owned(),
        x_title: "seconds since the first POST".to_owned(),
        y_title: "percent of one processor".to_owned(),
        lines: report.usage.shares(),
        ..LinePlot::default()
    }
}

impl LinePlot {
    /// The text of the file.
    pub fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let most = |part: fn(&PlotPoint) -> f64| points().map(part).fold(0.0, f64::max);
        let (x_max, y_max) = (axis_end(most(|point| point.0)), axis_end(most(|point| point.1)));
        let x = |value: f64| LEFT + (WIDTH - LEFT - RIGHT) * value / x_max;
        let y = |value: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / y_max;
        let mut body = String::new();
        for n in 0..=5 {
            let value = y_max * f64::from(n) / 5.0;
            put_line(&mut body, (x(0.0), y(value)), (x(x_max), y(value)));
            put_text(&mut body, (LEFT - 8.0, y(value) + 4.0), "end", &number(value));
        }
        let numbers = (0..=5).map(|n| x_max * f64::from(n) / 5.0).map(|at| (at, number(at)));
        let names = if self.x_names.is_empty() { numbers.collect() } else { self.x_names.clone() };
        for (value, name) in names.iter().filter(|(value, _)| *value <= x_max) {
            put_line(&mut body, (x(*value), y(0.0)), (x(*value), y(0.0) + 5.0));
            put_text(&mut body, (x(*value), HEIGHT - BOTTOM + 20.0), "middle", name);
        }
        for ((n, (name, points)), colour) in (0_u32..).zip(&self.lines).zip(COLOURS.iter().cycle())
        {
            let path: Vec<_> = points
                .iter()
                .map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(*value)))
                .collect();
            let at = TOP + 18.0 * f64::from(n);
            let name = escaped(name);
            // Writing into a text cannot fail.
            write!(
                body,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\n\
                 <text x=\"{:.0}\" y=\"{at:.0}\" fill=\"{colour}\">{name}</text>\n",
                path.join(" "),
                WIDTH - RIGHT + 14.0
            )
            .ok();
        }
        put_text(&mut body, (LEFT, TOP - 18.0), "start", &self.title);
        put_text(&mut body, ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 10.0), "middle", &self.x_title);
        let y_title = escaped(&self.y_title);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}\
             <text transform=\"translate(16 {:.0}) rotate(-90)\" text-anchor=\"middle\">{y_title}</text>\n</svg>\n",
            HEIGHT / 2.0
        )
    }
}

/// A round number that is not below a value, and not far above it.
fn axis_end(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-6).log10().floor());
    let round = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0].map(|factor| factor * power);
    round.into_iter().find(|end| *end >= value).unwrap_or(10.0 * power)
}

fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn put_line(body: &mut String, from: PlotPoint, to: PlotPoint) {
    let ((x1, y1), (x2, y2)) = (from, to);
    writeln!(
        body,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#dddddd\"/>"
    )
    .ok();
}

fn put_text(body: &mut String, at: PlotPoint, anchor: &str, text: &str) {
    let ((x, y), text) = (at, escaped(text));
    writeln!(body, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>").ok();
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number_above_all_values() {
        for (value, end) in [(0.0, 1e-6), (0.3, 0.3), (1.0, 1.0), (11.0, 15.0), (99.0, 100.0)] {
            assert!((axis_end(value) - end).abs() < 1e-9, "{value}: {}", axis_end(value));
        }
    }

    #[test]
    fn each_line_is_drawn_within_the_axes_and_named() {
        let plot = LinePlot {
            title: "a < b".to_owned(),
            lines: vec![("one".to_owned(), vec![(0.0, 0.0), (10.0, 100.0)])],
            ..LinePlot::default()
        };
        let svg = plot.svg();
        assert!(svg.contains("points=\"70.0,370.0 690.0,40.0\""), "{svg}");
        assert!(svg.contains(">one</text>") && svg.contains("a &lt; b"), "{svg}");
    }
}
