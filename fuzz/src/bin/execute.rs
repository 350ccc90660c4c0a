//! Parameter types inserted into `COM_STMT_EXECUTE` are parsed again. First byte: number of parameters.
#![no_main]

use dormouse_wire::{BulkView, ExecuteView, set_statement, statement_of};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&params, payload)) = bytes.split_first() else { return };
    let params = u16::from(params);
    let types = vec![3; usize::from(params) * 2];
    if let Ok(view) = ExecuteView::parse(payload, params) {
        let spliced = ExecuteView::with_types(payload, params, &types);
        let again = ExecuteView::parse(&spliced, params).expect("written by ourselves");
        let expected = if params == 0 { None } else { view.types.or(Some(&types)) };
        assert_eq!(again, ExecuteView { types: expected, ..view });
    }
    if let Ok(view) = BulkView::parse(payload, params) {
        let spliced = BulkView::with_types(payload, params, &types);
        let again = BulkView::parse(&spliced, params).expect("written by ourselves");
        assert_eq!((again.statement, again.values), (view.statement, view.values));
    }
    let mut payload = payload.to_vec();
    if statement_of(&payload).is_some() {
        set_statement(&mut payload, 0x0102_0304);
        assert_eq!(statement_of(&payload), Some(0x0102_0304));
    }
});
