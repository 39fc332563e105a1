#include "engine/evaluate.h"

#include <cstdio>

#include "app/command.h"

namespace stillwatch::app {

void AddEvaluate(CLI::App& app, int* code) {
  auto* sub = app.add_subcommand("evaluate", "Compare findings with a world's truth");
  auto truth = std::make_shared<std::string>(), found = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  sub->add_option("--truth", *truth, "folder with truth_*.csv")->required();
  sub->add_option("--found", *found, "folder of a finished scan")->required();
  sub->add_flag("--json", *json, "print JSON");
  sub->footer("Example: stillwatch evaluate --truth world --found stillwatch-out");
  sub->callback([=] {
    auto score = engine::Evaluate(*truth, *found);
    if (score.ok()) std::fputs((*json ? engine::ScoreJson(*score) : engine::ScoreText(*score)).c_str(), stdout);
    *code = Report(score.status());
  });
}

}  // namespace stillwatch::app
