//! The report as one page that fetches nothing: HTML, CSS and inline pictures, for a desk and a phone, light and dark.

use super::Report;
use super::escape::{html as safe, prose};
use super::pictures::{Picture, STYLE};
use super::summary::{ABOUT, LOSSES, NO_REASON, ROWS, how_much};
use super::tables::{self, MISSED, Table};

const CSS: &str = "\
:root{color-scheme:light dark;--ink:#1f2933;--soft:#5b6773;--line:#dfe4e9;--paper:#fff;--bad:#b3261e;--link:#1a5fb4}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#a0abb6;--line:#343c44;--paper:#14181c;--bad:#f2766a;--link:#62a0ea}}\
body{margin:0 auto;padding:1rem;max-width:62rem;font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper)}\
h1{font-size:1.6rem;margin:.5rem 0}h2{font-size:1.2rem;margin:2.2rem 0 .4rem}a{color:var(--link)}nav a{margin-right:1rem}\
p{max-width:46rem}figure{margin:0}figcaption,.soft{color:var(--soft);font-size:.9rem;max-width:46rem}\
.wide{overflow-x:auto;margin:.6rem 0}.wide:focus-visible{outline:2px solid var(--link)}\
figure svg{display:block;width:100%;max-width:620px;height:auto}\
table{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums}\
caption{text-align:left;color:var(--soft);padding-bottom:.3rem}\
th,td{text-align:left;vertical-align:top;padding:.25rem .6rem .25rem 0;border-bottom:1px solid var(--line)}\
thead th{white-space:nowrap}td.n{white-space:nowrap}strong.bad{color:var(--bad)}\
ol.losses{padding-left:1.4rem}ol.losses li{margin:.7rem 0;overflow-wrap:anywhere}ol.losses p{margin:.15rem 0}\
summary{cursor:pointer}code{font-size:.92em}";

/// The page.
pub(super) fn html(report: &Report<'_>) -> String {
    let pictures: String = report.pictures.iter().map(figure).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>tallyring: the comparison</title>\n\
         <style>{CSS}{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>tallyring: the comparison</h1>\n\
         <p>{}</p>\n<p>{}</p>\n\
         <nav><a href=\"#targets\">Targets</a><a href=\"#losses\">Where we lose</a><a href=\"#latencies\">Latencies</a>\
         <a href=\"#operations\">Per operation</a><a href=\"#records\">Records</a></nav>\n</header>\n<main>\n{pictures}\
         <section id=\"targets\"><h2>Targets</h2>{}</section>\n\
         <section id=\"losses\"><h2>Where we lose</h2>\n<p>{}</p>\n{}</section>\n\
         <section id=\"latencies\"><h2>Latencies</h2>{}</section>\n\
         <section id=\"operations\"><h2>Per operation</h2><details><summary>The table</summary>{}</details>\
         <p class=\"soft\">{}</p></section>\n\
         <section id=\"records\"><h2>Records</h2>{}</section>\n</main>\n</body>\n</html>\n",
        prose(ABOUT),
        prose(ROWS),
        table(&tables::targets(&report.chosen)),
        prose(LOSSES),
        losses(report),
        table(&tables::latencies(&report.chosen)),
        table(&tables::saturated(&report.chosen)),
        prose(tables::SOURCES),
        table(&tables::records(&report.chosen)),
    )
}

fn figure(picture: &Picture) -> String {
    format!(
        "<section><h2>{}</h2>\n<figure><div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"{}\">\n{}</div>\
         <figcaption>{}</figcaption></figure></section>\n",
        safe(picture.title),
        safe(picture.title),
        picture.inline(),
        prose(&picture.note)
    )
}

fn losses(report: &Report<'_>) -> String {
    if report.losses.is_empty() {
        return "<p>Nowhere in these records.</p>\n".to_owned();
    }
    let mut text = String::from("<ol class=\"losses\">\n");
    for loss in &report.losses {
        let emphasis = if loss.missed { " class=\"bad\"" } else { "" };
        text.push_str(&format!(
            "<li><p><strong{emphasis}>{}</strong> {}, {}: {} <span class=\"soft\">({}; {})</span></p><p class=\"soft\">{}</p></li>\n",
            safe(loss.row),
            safe(loss.shape),
            safe(&loss.what),
            safe(&loss.figures),
            safe(&how_much(loss)),
            safe(&loss.record.name),
            prose(report.reasons.of(loss).unwrap_or(NO_REASON))
        ));
    }
    text + "</ol>\n"
}

fn table(table: &Table) -> String {
    if table.lines.is_empty() {
        return "<p>These records have none.</p>".to_owned();
    }
    let head: String =
        table.head.iter().map(|name| format!("<th scope=\"col\">{}</th>", safe(name))).collect();
    let mut text = format!(
        "<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"{}\"><table><caption>{}.</caption>\n\
         <thead><tr>{head}</tr></thead>\n<tbody>\n",
        safe(table.caption),
        safe(table.caption)
    );
    for line in &table.lines {
        let Some((name, cells)) = line.split_first() else { continue };
        text.push_str(&format!("<tr><th scope=\"row\">{}</th>", safe(name)));
        for cell in cells {
            // Numbers and names do not break.
            let class = if cell.len() < 30 { " class=\"n\"" } else { "" };
            if cell == MISSED {
                text.push_str(&format!("<td><strong class=\"bad\">{MISSED}</strong></td>"));
            } else {
                text.push_str(&format!("<td{class}>{}</td>", safe(cell)));
            }
        }
        text.push_str("</tr>\n");
    }
    text + "</tbody></table></div>\n"
}

#[cfg(test)]
mod tests {
    use super::html;
    use crate::compare::report::Report;
    use crate::compare::report::choice::tests::record;
    use crate::compare::report::reasons::Reasons;

    #[test]
    fn the_page_fetches_nothing_and_escapes_what_records_say() {
        let mut records = [record("<script>x</script>", "2026-01-02", "bb", "", 0.75)];
        records[0].flags = "\"><img src=x onerror=y>".to_owned();
        let text = html(&Report::new(&records, &Reasons::parse("## T1\na <b> `c`\n")));
        for never in ["<script", "<img", "http:", "https:", "url(", "@import", "<link", "src="] {
            let known = never == "src=" && text.contains("&lt;img src=x");
            assert!(known || !text.contains(never), "{never}");
        }
        assert!(
            text.contains("a &lt;b&gt; <code>c</code>")
                && text.contains("<strong class=\"bad\">missed</strong>")
        );
        assert!(text.contains("<th scope=\"row\">T1</th>") && text.contains("prefers-color-scheme:dark"));
    }
}
