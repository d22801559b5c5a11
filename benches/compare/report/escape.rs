//! Text made harmless where it stands between marks. Knows the marks of HTML, SVG and Markdown, no more.

/// For HTML and SVG, also within double or single quotes.
pub(super) fn html(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Not allowed in XML, escaped or not.
            letter if letter.is_control() && letter != '\n' => safe.push('\u{fffd}'),
            letter => safe.push(letter),
        }
    }
    safe
}

/// For Markdown, also within a cell of a table: one line, no mark-up.
pub(super) fn markdown(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' | '\r' => safe.push(' '),
            '<' => safe.push_str("&lt;"),
            '&' => safe.push_str("&amp;"),
            '\\' | '|' | '*' | '_' | '`' | '[' | ']' => safe.extend(['\\', letter]),
            letter => safe.push(letter),
        }
    }
    safe
}

/// Prose by hand, in which `backticks` mark code, as HTML.
pub(super) fn prose(text: &str) -> String {
    let mut safe = String::new();
    for (nth, part) in text.split('`').enumerate() {
        let part = html(part);
        if nth % 2 == 1 { safe.push_str(&format!("<code>{part}</code>")) } else { safe.push_str(&part) }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::{html, markdown, prose};

    #[test]
    fn marks_lose_their_meaning() {
        assert_eq!(
            html("<script a=\"b\" c='d'>&\u{1b}"),
            "&lt;script a=&quot;b&quot; c=&#39;d&#39;&gt;&amp;\u{fffd}"
        );
        assert_eq!(
            markdown("a|b\n<img> `x` *y* _z_ [l](u) \\"),
            "a\\|b &lt;img> \\`x\\` \\*y\\* \\_z\\_ \\[l\\](u) \\\\"
        );
    }

    #[test]
    fn prose_keeps_its_code_and_nothing_else() {
        assert_eq!(prose("a `b<c` <d>"), "a <code>b&lt;c</code> &lt;d&gt;");
    }
}
