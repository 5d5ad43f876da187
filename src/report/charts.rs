//! Charts as SVG. Colours stand for roles: the style sheet of the page sets the real ones for the
//! light and the dark theme.

use std::fmt::Write as _;

use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, Circle, DrawingArea, IntoDrawingArea, IntoFont, PathElement, RGBColor,
    SVGBackend, ShapeStyle, Text, TextStyle,
};
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Size of a chart in the units of its view box. A page scales it to its column.
const CHART: (u32, u32) = (480, 260);
const SPARKLINE: (u32, u32) = (120, 28);

/// Space right of the lines, for their numbers.
const NUMBERS: u32 = 26;
/// Smallest distance of two numbers.
const APART: i32 = 13;

/// Colours of lines in one chart: more lines than this cannot be told apart.
pub(super) const LINES: usize = 8;

const TEXT: RGBColor = RGBColor(0xA0, 0, 0);
const GRID: RGBColor = RGBColor(0xA0, 0, 1);

/// Returns the stand-in for the colour of a line. The style sheet knows it as `#F00000` and so on.
fn colour(line: usize) -> RGBColor {
    RGBColor(0xF0, 0, u8::try_from(line % LINES).unwrap_or_default())
}

/// Scale of the vertical axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// From 0, in percent.
    Share,
    /// Ranks: 1 is at the top.
    Rank,
}

#[derive(Clone, Debug)]
pub(super) struct Line {
    /// A value for each label of the chart; `None` leaves a gap.
    pub values: Vec<Option<f64>>,
    /// True for a line that is set off.
    pub is_own: bool,
}

/// Draws lines over the same labels. At the right end each line has its number, from 1.
///
/// # Errors
/// The drawing fails; the text says why.
pub(super) fn lines(labels: &[String], lines: &[Line], scale: Scale) -> Result<String, String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, CHART).into_drawing_area();
        draw_lines(&root, labels, lines, scale).map_err(|error| error.to_string())?;
        root.present().map_err(|error| error.to_string())?;
    }
    Ok(scalable(&svg))
}

type Area<'s> = DrawingArea<SVGBackend<'s>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw_lines(root: &Area<'_>, labels: &[String], lines: &[Line], scale: Scale) -> Drawn {
    let last = i32::try_from(labels.len().saturating_sub(1)).unwrap_or(i32::MAX);
    let values = lines.iter().flat_map(|line| line.values.iter().flatten());
    let most = values.copied().fold(0.0_f64, f64::max);
    let sign = match scale {
        Scale::Share => 1.0,
        Scale::Rank => -1.0,
    };
    let range = match scale {
        Scale::Share => 0.0..(most * 1.1).max(0.01),
        Scale::Rank => -(most + 1.0)..0.0,
    };
    let text = TextStyle::from(("sans-serif", 12).into_font()).color(&TEXT);
    let mut chart = ChartBuilder::on(root)
        .margin_top(10)
        .margin_bottom(2)
        .margin_right(NUMBERS)
        .x_label_area_size(24)
        .y_label_area_size(44)
        .build_cartesian_2d(0..last.max(1), range)?;
    let label = |at: &i32| {
        let label = usize::try_from(*at).ok().and_then(|at| labels.get(at));
        label.cloned().unwrap_or_default()
    };
    let figure = |value: &f64| match scale {
        Scale::Share => format!("{:.0}%", value * 100.0),
        // No place is above the first one.
        Scale::Rank if value.abs() < 0.5 => String::new(),
        Scale::Rank => format!("{:.0}", value.abs()),
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(labels.len().clamp(1, 8))
        .y_labels(5)
        .x_label_formatter(&label)
        .y_label_formatter(&figure)
        .label_style(text)
        .axis_style(GRID)
        .bold_line_style(GRID)
        .light_line_style(GRID.mix(0.0))
        .draw()?;
    for (number, line) in lines.iter().enumerate() {
        let style = ShapeStyle::from(&colour(number)).stroke_width(if line.is_own { 4 } else { 2 });
        for part in parts(&line.values) {
            let points = part.iter().map(|(at, value)| (*at, sign * value));
            chart.draw_series([PathElement::new(points.collect::<Vec<_>>(), style)])?;
            // A value without neighbours has no line.
            let alone = part
                .iter()
                .filter(|_| part.len() == 1 || labels.len() <= 10);
            let dots = alone.map(|(at, value)| Circle::new((*at, sign * value), 3, style.filled()));
            chart.draw_series(dots)?;
        }
    }
    let ends = lines.iter().enumerate().filter_map(|(number, line)| {
        let value = line.values.last().copied().flatten()?;
        let (_, y) = chart.backend_coord(&(last, sign * value));
        Some((number, y))
    });
    let (right, _) = chart.backend_coord(&(last.max(1), 0.0));
    let right = if last == 0 {
        chart.backend_coord(&(0, 0.0)).0
    } else {
        right
    };
    for (number, y) in spread(ends.collect()) {
        let colour = colour(number);
        let style = TextStyle::from(("sans-serif", 12).into_font()).color(&colour);
        let style = style.pos(Pos::new(HPos::Left, VPos::Center));
        root.draw(&Text::new(format!("{}", number + 1), (right + 8, y), style))?;
    }
    Ok(())
}

/// Returns the runs of known values, with their places.
fn parts(values: &[Option<f64>]) -> Vec<Vec<(i32, f64)>> {
    let mut parts: Vec<Vec<(i32, f64)>> = Vec::new();
    let mut is_open = false;
    for (at, value) in (0_i32..).zip(values) {
        match (value, parts.last_mut()) {
            (Some(value), Some(part)) if is_open => part.push((at, *value)),
            (Some(value), _) => parts.push(vec![(at, *value)]),
            (None, _) => {}
        }
        is_open = value.is_some();
    }
    parts
}

/// Moves numbers down until none covers another.
fn spread(mut ends: Vec<(usize, i32)>) -> Vec<(usize, i32)> {
    ends.sort_by_key(|(number, y)| (*y, *number));
    let mut free = i32::MIN;
    for (_, y) in &mut ends {
        *y = (*y).max(free);
        free = y.saturating_add(APART);
    }
    ends
}

/// Draws a line without axes through these times and values, from the smallest value to the largest
/// one. It is empty with fewer than two points.
///
/// # Errors
/// The drawing fails; the text says why.
pub(super) fn sparkline(points: &[(f64, f64)]) -> Result<String, String> {
    let (Some(first), Some(last), true) = (points.first(), points.last(), points.len() > 1) else {
        return Ok(String::new());
    };
    let values = points.iter().map(|(_, value)| *value);
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let most = values.fold(f64::NEG_INFINITY, f64::max);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SPARKLINE).into_drawing_area();
        let draw = || -> Drawn {
            let mut chart = ChartBuilder::on(&root).margin(4).build_cartesian_2d(
                first.0..last.0.max(first.0 + 1.0),
                least..most.max(least + 1.0),
            )?;
            let style = ShapeStyle::from(&colour(0)).stroke_width(2);
            chart.draw_series([PathElement::new(points.to_vec(), style)])?;
            chart.draw_series([Circle::new(*last, 3, style.filled())])?;
            Ok(root.present()?)
        };
        draw().map_err(|error| error.to_string())?;
    }
    Ok(scalable(&svg))
}

/// Returns an SVG without a size of its own, and hidden from screen readers: the page describes it.
fn scalable(svg: &str) -> String {
    let Some(end) = svg.find('>') else {
        return svg.to_owned();
    };
    let (tag, rest) = svg.split_at(end);
    let mut opened = String::from("<svg aria-hidden=\"true\"");
    for attribute in ["viewBox", "xmlns"] {
        let Some(begin) = tag.find(&format!("{attribute}=\"")) else {
            continue;
        };
        let value = tag.get(begin..).unwrap_or_default().splitn(3, '"');
        let parts: Vec<&str> = value.take(2).collect();
        let _ = write!(opened, " {}\"", parts.join("\""));
    }
    opened + rest
}

#[cfg(test)]
mod tests {
    use super::{Line, Scale, lines, parts, sparkline, spread};

    #[test]
    fn a_gap_splits_a_line() {
        let values = [Some(1.0), None, Some(2.0), Some(3.0), None];
        assert_eq!(parts(&values), [vec![(0, 1.0)], vec![(2, 2.0), (3, 3.0)]]);
        assert_eq!(parts(&[None]), Vec::<Vec<(i32, f64)>>::new());
    }

    #[test]
    fn numbers_of_lines_do_not_cover_each_other() {
        let ends = vec![(0, 50), (1, 48), (2, 100)];
        assert_eq!(spread(ends), [(1, 48), (0, 61), (2, 100)]);
    }

    #[test]
    fn charts_are_drawn_without_values_with_one_and_with_many() {
        let labels: Vec<String> = (0..30).map(|day| format!("d{day}")).collect();
        for (count, scale) in [(0, Scale::Share), (1, Scale::Rank), (30, Scale::Rank)] {
            let values = (0..count).map(|day| Some(f64::from(day + 1))).collect();
            let drawn = [Line {
                values,
                is_own: true,
            }];
            let labels = labels.get(..count as usize).unwrap_or_default();
            let svg = lines(labels, &drawn, scale).unwrap_or_default();
            assert!(svg.starts_with("<svg aria-hidden=\"true\" viewBox=\"0 0 480 260\""));
            assert!(!svg.contains("NaN") && svg.ends_with("</svg>\n"), "{svg}");
        }
    }

    #[test]
    fn a_single_value_has_no_sparkline_and_equal_values_have_one() {
        assert_eq!(sparkline(&[(0.0, 4.0)]), Ok(String::new()));
        let svg = sparkline(&[(0.0, 4.0), (9.0, 4.0)]).unwrap_or_default();
        assert!(svg.contains("polyline") && !svg.contains("NaN"), "{svg}");
    }
}
