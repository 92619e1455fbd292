//! What is listed by hand, for callers and for operators, is what there is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use tests::App;
use tonic::Code;

/// The cells of a row of a document's table, without the quotes of code.
type Row = Vec<String>;

#[test]
fn every_reason_is_documented_with_its_code() {
    let source = read("shared/fault/src/reason.rs");
    let (_, rows) = source.split_once("fn row(").unwrap();
    // However it is broken into lines, a row begins so: ("NAME", C::Code,
    let rows = rows.split_whitespace().collect::<Vec<_>>().join(" ").replace("( \"", "(\"");
    let reasons: Vec<_> = rows.split("(\"").filter_map(reason).collect();
    assert!(reasons.len() > 30, "{reasons:?}");

    let documented = rows_of("docs/errors.md").into_iter().map(|row| row[..2].join(" "));
    assert_eq!(documented.collect::<Vec<_>>(), reasons);
}

/// A reason with its code, as the document spells them.
fn reason(row: &str) -> Option<String> {
    let (name, rest) = row.split_once("\", C::")?;
    let (code, _) = rest.split_once(',')?;
    let number = (0..=16).find(|number| format!("{:?}", Code::from(*number)) == code)?;
    Some(format!("{name} {number} {code}"))
}

#[tokio::test]
async fn every_metric_is_documented_with_its_labels() {
    let app = App::start().await;
    let (_status, text) = app.internal("/metrics").await;
    let labels = labels(&text);
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let served = types.map(|(name, kind)| {
        let series = match kind {
            "counter" => format!("{name}_total"),
            "histogram" => format!("{name}_count"),
            _ => name.to_owned(),
        };
        let labels = labels.get(&*series).unwrap_or_else(|| panic!("{series} is not there"));
        let name = series.strip_suffix("_count").unwrap_or(&series);
        format!("{name} {kind} {}", labels.iter().copied().collect::<Vec<_>>().join(" "))
    });
    let served: BTreeSet<_> = served.collect();
    assert!(served.len() > 10, "{served:?}");

    let documented = rows_of("docs/metrics.md").into_iter().map(|row| {
        let labels: BTreeSet<_> = row[2].split(", ").collect();
        format!("{} {} {}", row[0], row[1], labels.into_iter().collect::<Vec<_>>().join(" "))
    });
    assert_eq!(documented.collect::<BTreeSet<_>>(), served);
}

/// The names of the labels of every series.
fn labels(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut labels = BTreeMap::<_, BTreeSet<_>>::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _value) = line.rsplit_once(' ').unwrap();
        let (name, given) = series.split_once('{').unwrap_or((series, ""));
        let given = given.split("\",").filter_map(|label| label.split_once("=\""));
        labels.entry(name).or_default().extend(given.map(|(label, _value)| label));
    }
    labels
}

/// The rows of a document's one table that begin with a name in code.
fn rows_of(path: &str) -> Vec<Row> {
    let text = read(path);
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
    rows.map(|row| row.split('|').map(|cell| cell.trim().replace('`', "")).collect()).collect()
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
