// $name, ${name OPERATOR word} and the special parameters.
#include <utility>

#include "user/bin/pattern.h"
#include "user/bin/sh/expand.hpp"
#include "user/bin/sh/expander.hpp"
#include "user/bin/sh/lexer.hpp"

namespace faultline::sh {

std::optional<std::string> Expander::value_of(std::string_view name) {
  if (name == "?") return std::to_string(shell_.last_status);
  if (name == "$") return std::to_string(shell_.pid);
  if (name == "#") return std::to_string(shell_.arguments.size());
  if (name == "0") return shell_.name;
  if (name == "!") {
    if (shell_.last_background == 0) return std::nullopt;
    return std::to_string(shell_.last_background);
  }
  if (name == "-") {
    std::string letters;
    if (shell_.options.exit_on_error) letters += 'e';
    if (shell_.options.no_globbing) letters += 'f';
    if (shell_.options.interactive) letters += 'i';
    if (shell_.options.unset_is_error) letters += 'u';
    if (shell_.options.trace) letters += 'x';
    return letters;
  }
  if (!is_name(name)) {
    size_t index = 0;
    for (char digit : name) index = index * 10 + static_cast<size_t>(digit - '0');
    if (index == 0) return shell_.name;
    if (index > shell_.arguments.size()) return std::nullopt;
    return shell_.arguments[index - 1];
  }
  const std::string* value = shell_.variables.get(name);
  return value ? std::optional(*value) : std::nullopt;
}

void Expander::expand_parameter(const WordPart& part) {
  bool all = part.text == "@" || part.text == "*";
  if (all && part.operation == ParameterOperator::None) return expand_all_arguments(part);
  std::optional<std::string> value;
  if (!all) {
    value = value_of(part.text);
  } else if (part.operation == ParameterOperator::Length) {
    return use_value(std::to_string(shell_.arguments.size()), part.quoted);
  } else if (!shell_.arguments.empty()) {
    value.emplace();
    for (const std::string& argument : shell_.arguments) {
      if (&argument != &shell_.arguments.front()) value->push_back(' ');
      *value += argument;
    }
  }
  bool usable = value && !(part.colon && value->empty());
  switch (part.operation) {
    case ParameterOperator::Default:
      return usable ? use_value(*value, part.quoted) : use_operand(part);
    case ParameterOperator::Alternative:
      if (usable) use_operand(part);
      return;
    case ParameterOperator::Assign:
      if (usable) return use_value(*value, part.quoted);
      if (!is_name(part.text)) {
        complain("${" + part.text + "=}: only a variable can be assigned to");
        return shell_.abandon(kUsageError);
      }
      value = expand_string(shell_, *part.operand);
      if (shell_.stopping()) return;
      if (!shell_.variables.set(part.text, *value)) return shell_.abandon(kUsageError);
      return use_value(*value, part.quoted);
    case ParameterOperator::Error:
      return usable ? use_value(*value, part.quoted) : fail_parameter(part);
    default:
      break;
  }
  if (!value) {
    if (shell_.options.unset_is_error) {
      complain(part.text + ": parameter not set");
      return shell_.abandon(kUsageError);
    }
    value.emplace();
  }
  if (part.operation == ParameterOperator::None) return use_value(*value, part.quoted);
  if (part.operation == ParameterOperator::Length)
    return use_value(std::to_string(value->size()), part.quoted);
  use_value(trimmed(part, *value), part.quoted);
}

void Expander::use_operand(const WordPart& part) { expand_parts(*part.operand, true); }

void Expander::fail_parameter(const WordPart& part) {
  std::string message = expand_string(shell_, *part.operand);
  if (shell_.stopping()) return;
  complain(part.text + ": " + (message.empty() ? "parameter not set" : message));
  shell_.abandon(kUsageError);
}

// "$@" is one field for each argument, "$*" is one field; unquoted they are all split further.
void Expander::expand_all_arguments(const WordPart& part) {
  const std::vector<std::string>& arguments = shell_.arguments;
  bool join = part.text == "*" && (part.quoted || !splitting_);
  if (arguments.empty()) {
    if (part.quoted && !join) empty_arguments_ = true;
    if (part.quoted && join) add_quoted("");
    return;
  }
  std::string ifs = separators();
  for (size_t i = 0; i < arguments.size(); i++) {
    if (i > 0 && join) {
      add_quoted(std::string_view(ifs).substr(0, 1));
    } else if (i > 0 && splitting_) {
      end_field();
    } else if (i > 0) {
      add_quoted(" ");
    }
    use_value(arguments[i], part.quoted);
  }
}

// ${x#pattern} and its kin: tries the lengths from the wanted end.
std::string Expander::trimmed(const WordPart& part, const std::string& value) {
  std::string pattern = expand_pattern(shell_, *part.operand);
  if (shell_.stopping()) return {};
  bool prefix = part.operation == ParameterOperator::ShortestPrefix ||
                part.operation == ParameterOperator::LongestPrefix;
  bool longest = part.operation == ParameterOperator::LongestPrefix ||
                 part.operation == ParameterOperator::LongestSuffix;
  for (size_t i = 0; i <= value.size(); i++) {
    size_t length = longest ? value.size() - i : i;
    size_t begin = prefix ? 0 : value.size() - length;
    if (!match_pattern(pattern.c_str(), value.substr(begin, length).c_str())) continue;
    return prefix ? value.substr(length) : value.substr(0, begin);
  }
  return value;
}

}  // namespace faultline::sh
