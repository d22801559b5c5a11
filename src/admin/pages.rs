//! The dashboard's files, which are part of the program.

/// Media type and content of the file at `path`.
pub(super) fn find(path: &str) -> Option<(&'static str, &'static str)> {
    Some(match path {
        "/" => ("text/html; charset=utf-8", include_str!("dashboard/page.html")),
        "/dashboard.css" => ("text/css; charset=utf-8", include_str!("dashboard/style.css")),
        // In the order in which each uses those before it.
        "/dashboard.js" => (
            "text/javascript; charset=utf-8",
            concat!(
                include_str!("dashboard/figures.js"),
                include_str!("dashboard/chart.js"),
                include_str!("dashboard/page.js"),
                include_str!("dashboard/life.js"),
            ),
        ),
        _ => return None,
    })
}
