//! The charts of the dashboard for Superset.

use serde_json::{Value, json};

/// A chart of the dashboard.
#[derive(Debug)]
pub struct DashboardChart {
    pub name: &'static str,
    pub title: &'static str,
    /// The table or view that it reads.
    pub relation: &'static str,
    /// Superset's name for the kind of the chart.
    pub kind: &'static str,
    /// Width in columns of the dashboard, which has 12.
    pub width: u8,
    content: ChartContent,
}

#[derive(Debug)]
enum ChartContent {
    /// A metric by a column, one line or bar a group.
    Series {
        x: &'static str,
        metric: &'static str,
        label: &'static str,
        group: Option<&'static str>,
    },
    /// Rows, those with the greatest value of a column first.
    Rows {
        columns: &'static [&'static str],
        order: &'static str,
    },
}

pub const CHARTS: [DashboardChart; 5] = [
    DashboardChart {
        name: "share_of_voice",
        title: "Share of voice by day",
        relation: "keyword_daily",
        kind: "echarts_timeseries_line",
        width: 6,
        content: ChartContent::Series {
            x: "snapshot_date",
            metric: "max(share_of_voice)",
            label: "share of voice",
            group: Some("keyword"),
        },
    },
    DashboardChart {
        name: "new_notes",
        title: "New notes by day",
        relation: "keyword_daily",
        kind: "echarts_timeseries_bar",
        width: 6,
        content: ChartContent::Series {
            x: "snapshot_date",
            metric: "sum(new_notes)",
            label: "new notes",
            group: Some("keyword"),
        },
    },
    DashboardChart {
        name: "published_hour",
        title: "Median engagement by hour of publication",
        relation: "note_overview",
        kind: "echarts_timeseries_bar",
        width: 12,
        content: ChartContent::Series {
            x: "published_hour",
            metric: "median(engagement)",
            label: "median engagement",
            group: None,
        },
    },
    DashboardChart {
        name: "top_notes",
        title: "Notes with the most engagement",
        relation: "note_overview",
        kind: "table",
        width: 12,
        content: ChartContent::Rows {
            columns: &[
                "title",
                "nickname",
                "published_date",
                "engagement",
                "engagement_delta_24h",
                "keywords",
                "best_rank",
                "is_paid",
                "note_url",
            ],
            order: "engagement",
        },
    },
    DashboardChart {
        name: "top_creators",
        title: "Authors with the most engagement",
        relation: "creator_overview",
        kind: "table",
        width: 12,
        content: ChartContent::Rows {
            columns: &[
                "nickname",
                "follower_count",
                "follower_band",
                "notes",
                "engagement",
                "engagement_per_note",
                "engagement_rate",
                "best_rank",
                "profile_url",
            ],
            order: "engagement",
        },
    },
];

impl DashboardChart {
    /// Returns the parameters of the chart, as Superset stores them.
    pub fn parameters(&self) -> Value {
        match &self.content {
            ChartContent::Series {
                x,
                metric,
                label,
                group,
            } => json!({
                "viz_type": self.kind,
                "x_axis": x,
                "x_axis_sort_asc": true,
                "time_grain_sqla": "P1D",
                "metrics": [{"expressionType": "SQL", "sqlExpression": metric, "label": label}],
                "groupby": group.iter().collect::<Vec<_>>(),
                "adhoc_filters": [],
                "row_limit": 10000,
                "show_legend": group.is_some(),
                "rich_tooltip": true,
            }),
            ChartContent::Rows { columns, order } => json!({
                "viz_type": self.kind,
                "query_mode": "raw",
                "all_columns": columns,
                "order_by_cols": [format!("[\"{order}\", false]")],
                "adhoc_filters": [],
                "row_limit": 50,
                "server_pagination": false,
            }),
        }
    }
}
