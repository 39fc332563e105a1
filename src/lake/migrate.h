// Brings the tables of a lake to this program's schema. The same for every adapter.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "base/embedded_file.h"
#include "lake/lake.h"

namespace stillwatch::lake {

// src/lake/schema/NNN_*.sql by name, ended by an empty name. NNN is the version that a file brings
// the lake to; its statements are separated by lines that hold only ";".
extern const base::EmbeddedFile kSchemaFiles[];

// Applies the files above the lake's version in order; after each, its version goes into table
// `schema_version`. A migration cut short is run again from the start of its file, so every
// statement must bear that ("IF NOT EXISTS"). `where` names the lake in messages. Nothing is
// written before the lake is known to be empty or ours: FailedPrecondition when it is newer than
// the files, or holds tables of another program.
absl::Status MigrateSchema(Lake& lake, std::string_view where, const base::EmbeddedFile* files);

}  // namespace stillwatch::lake
