//! Text and bytes made safe to stand in a page.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Text as it may stand between tags and in quoted attributes. Control characters, which HTML does not
/// allow, become U+FFFD.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(' '),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// The first `most` characters of a text, with an ellipsis where something was cut off.
pub fn clip(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

/// A whole number with commas between thousands.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with its noun, which takes an `s` unless there is one of it.
pub fn counted(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", grouped(number as u64))
}

/// An address that holds the bytes themselves.
pub fn data_uri(media_type: &str, bytes: &[u8]) -> String {
    format!("data:{media_type};base64,{}", BASE64_STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_caption_can_open_a_tag_or_end_an_attribute() {
        let caption = "<img src=x onerror=alert(1)> \"a\" & 'b'\u{0}\nend 🏝";
        let escaped = escape(caption);
        assert_eq!(
            escaped,
            "&lt;img src=x onerror=alert(1)&gt; &quot;a&quot; &amp; &#39;b&#39;\u{fffd} end 🏝"
        );
    }

    #[test]
    fn clipping_counts_characters_and_says_that_it_cut() {
        assert_eq!(clip("日本語の説明", 3), "日本語…");
        assert_eq!(clip("two dogs", 4), "two…");
        assert_eq!(clip("two dogs", 8), "two dogs");
    }

    #[test]
    fn thousands_are_grouped_and_one_is_singular() {
        assert_eq!([0, 1, 1200].map(|n| counted(n, "step")), ["0 steps", "1 step", "1,200 steps"]);
        let written = [0, 999, 1000, 1_234_567].map(grouped);
        assert_eq!(written, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn bytes_stand_in_an_address() {
        assert_eq!(data_uri("image/png", &[0xfb, 0xff]), "data:image/png;base64,+/8=");
    }
}
