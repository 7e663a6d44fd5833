//! Whether an output has the lines that a document shows, apart from what differs between two runs.

/// The lines of `shown` that are not in `printed`.
///
/// Words with digits in them (numbers, ids, times, addresses) are alike, and so is the white space
/// between two words. The status of an HTTP answer has to be the same. A line may end in `…`, which
/// stands for the rest; a line `…` stands for any lines.
pub(crate) fn missing_lines<'a>(shown: &'a str, printed: &str) -> Vec<&'a str> {
    let printed: Vec<String> = printed.lines().map(shape).collect();
    let is_printed = |line: &str| match line.trim_end().strip_suffix('…') {
        Some(beginning) => {
            let beginning = shape(beginning);
            printed.iter().any(|text| text.starts_with(&beginning))
        }
        None => printed.contains(&shape(line)),
    };
    shown.lines().filter(|line| !line.trim().is_empty() && !is_printed(line)).collect()
}

/// A line without what differs between two runs.
fn shape(line: &str) -> String {
    let line = line.trim();
    if line.starts_with("HTTP/") {
        return line.to_owned();
    }
    // The only header with names of days and months.
    if line.starts_with("date: ") {
        return "date:".to_owned();
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let (mut shape, mut run) = (String::new(), String::new());
    for letter in words.join(" ").chars() {
        if letter.is_alphanumeric() || "-_.:+".contains(letter) {
            run.push(letter);
        } else {
            shape.push_str(&without_digits(&run));
            run.clear();
            shape.push(letter);
        }
    }
    shape + &without_digits(&run)
}

/// `#` in place of a word that has a digit in it.
fn without_digits(word: &str) -> String {
    if !word.contains(|letter: char| letter.is_ascii_digit()) {
        return word.to_owned();
    }
    // What follows a number is punctuation, not part of it: `"total":3780`, `at 12:`.
    let begins = word.len() - word.trim_start_matches([':', '-', '.']).len();
    let ends = word.trim_end_matches([':', '-', '.']).len();
    format!("{}#{}", &word[..begins], &word[ends..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ids_times_and_addresses_may_differ() {
        let shown = "ready at http://127.0.0.1:27299\n{\"id\":\"01a20fcc-a92c-76ef\",\"total\":3780,\"due_at\":\"2026-11-24T23:08:20.62Z\"}\n\
            date: Tue, 24 Nov 2026 23:03:20 GMT\n  mails sent             5";
        let printed = "x\ndate: Mon, 30 Nov 2026 15:00:00 GMT\nmails sent 12\n{\"id\":\"77\",\"total\":1,\"due_at\":\"3\"}\n\
            ready at http://127.0.0.1:1";
        assert_eq!(missing_lines(shown, printed), Vec::<&str>::new());
    }

    #[test]
    fn a_status_a_name_or_a_word_may_not() {
        let printed = "HTTP/1.1 200 OK\n{\"id\":1}\nconfirmed order-placed";
        for shown in ["HTTP/1.1 202 Accepted", "{\"ident\":1}", "cancelled order-placed"] {
            assert_eq!(missing_lines(shown, printed), [shown]);
        }
    }

    #[test]
    fn three_dots_stand_for_the_rest() {
        assert!(missing_lines("{\"id\":\"5\",…", "{\"id\":\"7\",\"a\":1}").is_empty());
        assert_eq!(missing_lines("{\"no\":\"5\",…", "{\"id\":\"7\",\"a\":1}").len(), 1);
        assert!(missing_lines("a\n…\nb", "a\nx\nb").is_empty());
        assert_eq!(missing_lines("a\n…\nc", "a\nx\nb"), ["c"]);
    }
}
