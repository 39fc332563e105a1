// The verbs of `stillwatch share`, by owner; share.cc puts them together.
#pragma once

#include <CLI/CLI.hpp>

namespace stillwatch::app {

void AddShareExport(CLI::App* share, int* code);  // export, preview, validate, key
void AddShareCompare(CLI::App* share, int* code);

void AddShareTaxii(CLI::App* share, int* code);  // push, pull, collection
void AddShareImport(CLI::App* share, int* code);  // import, revoke, sources, imports

}  // namespace stillwatch::app
