use super::contracts::Contracts;

#[test]
fn the_built_in_contracts_are_valid() {
    let contracts = Contracts::load(None).unwrap_or_else(|e| panic!("{e}"));
    let sources: Vec<_> = contracts.sources.keys().map(String::as_str).collect();
    assert_eq!(sources, ["justoneapi", "xhs_open"]);
    assert_eq!(contracts.tables.len(), 15);
}
