//! Reading dag-cbor: links alone, as walks do, against values; and many sections of an archive in memory.
//!
//! `cargo bench -p shoal-core --bench dag`; one core, throughput in bytes of block.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros make public items without; a bench may fail where it likes")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shoal_core::Cid;
use shoal_core::car::v1;
use shoal_core::cid::codec::{DAG_CBOR, DAG_JSON};
use shoal_core::dag::{self, Map, Value};
use shoal_core::hash::code;
use std::hint::black_box;
use std::time::Duration;

fn cid(n: u8) -> Cid {
    Cid::v1(DAG_CBOR, code::SHA2_256, &[n; 32]).unwrap()
}

/// Like a directory of records: maps with a name, two numbers, a list and a link.
fn records(count: usize) -> Value {
    let record = |i: usize| {
        let entries = vec![
            ("name".to_owned(), Value::String(format!("record number {i}"))),
            ("size".to_owned(), Value::Integer(i as i128 * 1000)),
            ("ratio".to_owned(), Value::Float(0.5)),
            ("tags".to_owned(), Value::List(vec![Value::Null, Value::Bool(true), Value::Bytes(vec![1; 16])])),
            ("content".to_owned(), Value::Link(cid(i.to_le_bytes()[0]))),
        ];
        Value::Map(Map::from_entries(entries).unwrap())
    };
    Value::List((0..count).map(record).collect())
}

fn read(c: &mut Criterion) {
    let value = records(2000);
    for (codec, name) in [(DAG_CBOR, "dag-cbor"), (DAG_JSON, "dag-json")] {
        let block = dag::encode(codec, &value).unwrap();
        let mut group = c.benchmark_group(name);
        group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(1000));
        group.throughput(Throughput::Bytes(block.len() as u64));
        group.bench_function("decode", |b| b.iter(|| dag::decode(codec, black_box(&block)).unwrap()));
        group.bench_function("encode", |b| b.iter(|| dag::encode(codec, black_box(&value)).unwrap()));
        let mut out = Vec::new();
        group.bench_function("links", |b| {
            b.iter(|| {
                out.clear();
                dag::links(codec, black_box(&block), &mut out).unwrap();
            });
        });
    }
}

fn sections(c: &mut Criterion) {
    let mut pack = Vec::new();
    for n in 0..1000u16 {
        v1::section_prefix(&cid(n.to_le_bytes()[0]), 300, &mut pack);
        pack.resize(pack.len() + 300, 0);
    }
    let mut group = c.benchmark_group("car");
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(1000));
    group.throughput(Throughput::Elements(1000));
    group.bench_function("sections", |b| b.iter(|| v1::sections(black_box(&pack)).map(|s| s.unwrap().1.total_len).sum::<usize>()));
}

criterion_group!(benches, read, sections);
criterion_main!(benches);
