// The verbs of `stillwatch share`, by owner; share.cc puts them together.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "app/indicators.h"
#include "app/state_dir.h"
#include "state/types.h"

namespace stillwatch::app {

void AddShareExport(CLI::App* share, int* code);  // export, preview, validate, key
void AddShareAnswer(CLI::App* share, int* code);  // approve, reject, exports, fetch
void AddShareCompare(CLI::App* share, int* code);

void AddShareTaxii(CLI::App* share, int* code);  // push, pull, collection
// Rows of a bundle into the state, those of `issuer` alone where one is named, and says what became
// of them. `mark` may be null.
absl::Status TakeRows(LocalState& local, const std::string& source, const std::string& issuer,
                      ImportRows rows, const state::ImportMark* mark);
void AddShareImport(CLI::App* share, int* code);  // import, revoke, sources, imports, sightings

}  // namespace stillwatch::app
