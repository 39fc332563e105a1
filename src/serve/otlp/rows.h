// Spans and log records with the GenAI conventions (current, older, OpenInference) to the rows that
// ingest/formats/otlp_traces.sql and otlp_logs.sql give; a test holds both equal.
#pragma once

#include "ingest/formats/rows.h"

namespace stillwatch::otlp {

class Logs;
class Traces;

// Appends a row for each exchange, and for each message of one (a part); other spans and records
// are passed over. `text_ids`: ids are text already (json.h), else the bytes of the wire.
// `source_row` counts all spans or records, from 1. Not thread-safe on one *rows.
void RowsOf(const Traces& traces, bool text_ids, ingest::RowWriter* rows);
void RowsOf(const Logs& logs, bool text_ids, ingest::RowWriter* rows);

}  // namespace stillwatch::otlp
