#include "user/bin/sh/expand.hpp"

#include <utility>

#include "user/bin/sh/arithmetic.hpp"
#include "user/bin/sh/expander.hpp"
#include "user/bin/sh/glob.hpp"

namespace faultline::sh {

void Expander::expand(const Word& word) { expand_parts(word, false); }

void Expander::expand_parts(const Word& word, bool split_literals) {
  for (const WordPart& part : word.parts) {
    if (shell_.stopping()) return;
    switch (part.kind) {
      case WordPart::Kind::Literal:
        expand_literal(part, split_literals);
        break;
      case WordPart::Kind::Tilde:
        expand_tilde();
        break;
      case WordPart::Kind::Parameter:
        expand_parameter(part);
        break;
      case WordPart::Kind::Command:
        expand_command(part);
        break;
      case WordPart::Kind::Arithmetic:
        expand_arithmetic(part);
        break;
    }
  }
}

void Expander::expand_literal(const WordPart& part, bool split_literals) {
  if (part.quoted) {
    add_quoted(part.text);
  } else if (split_literals) {
    add_split(part.text);
  } else {
    add_unquoted(part.text);
  }
}

void Expander::expand_tilde() {
  const std::string* home = shell_.variables.get("HOME");
  add_quoted(home ? *home : "~");
}

void Expander::expand_command(const WordPart& part) {
  use_value(command_output(shell_, *part.program), part.quoted);
}

void Expander::expand_arithmetic(const WordPart& part) {
  std::string expression = expand_string(shell_, *part.operand);
  if (shell_.stopping()) return;
  std::string error;
  long long value = 0;
  if (!evaluate_arithmetic(shell_.variables, expression, value, error)) {
    complain("arithmetic expression '" + expression + "': " + error);
    return shell_.abandon(kUsageError);
  }
  use_value(std::to_string(value), part.quoted);
}

void Expander::use_value(const std::string& value, bool quoted) {
  if (quoted) {
    add_quoted(value);
  } else {
    add_split(value);
  }
}

void Expander::add_quoted(std::string_view text) {
  field_.present = true;
  after_blank_ = false;
  field_.text += text;
  for (char c : text) {
    if (std::string_view("*?[]\\-!^").find(c) != std::string_view::npos) field_.pattern.push_back('\\');
    field_.pattern.push_back(c);
  }
}

void Expander::add_unquoted(std::string_view text) {
  if (text.empty()) return;
  field_.present = true;
  after_blank_ = false;
  field_.text += text;
  for (char c : text) {
    if (c == '*' || c == '?' || c == '[') field_.has_wildcard = true;
    if (c == '\\') field_.pattern.push_back('\\');  // from a variable: an ordinary character
    field_.pattern.push_back(c);
  }
}

// Blank separators surround fields, any other separator ends one, be it empty.
void Expander::add_split(std::string_view text) {
  if (!splitting_) return add_unquoted(text);
  std::string ifs = separators();
  for (char c : text) {
    if (ifs.find(c) == std::string::npos) {
      add_unquoted(std::string_view(&c, 1));
    } else if (c == ' ' || c == '\t' || c == '\n') {
      if (!field_.present) continue;
      end_field();
      after_blank_ = true;
    } else if (after_blank_) {
      after_blank_ = false;
    } else {
      field_.present = true;
      end_field();
    }
  }
}

void Expander::end_field() {
  if (field_.present) fields_.push_back(std::move(field_));
  field_ = {};
}

std::vector<Field>& Expander::finish() {
  if (empty_arguments_ && field_.text.empty()) field_.present = false;
  end_field();
  return fields_;
}

Field Expander::joined() {
  Field all;
  for (Field& field : finish()) {
    if (all.present) {
      all.text.push_back(' ');
      all.pattern.push_back(' ');
    }
    all.text += field.text;
    all.pattern += field.pattern;
    all.present = true;
  }
  return all;
}

void expand_fields(Shell& shell, const Word& word, std::vector<std::string>& fields) {
  Expander expander(shell, Expander::Splitting::Yes);
  expander.expand(word);
  if (shell.stopping()) return;
  for (Field& field : expander.finish()) {
    std::vector<std::string> names;
    if (field.has_wildcard && !shell.options.no_globbing) names = glob(field.pattern);
    if (names.empty()) {
      fields.push_back(std::move(field.text));
    } else {
      for (std::string& name : names) fields.push_back(std::move(name));
    }
  }
}

std::string expand_string(Shell& shell, const Word& word) {
  Expander expander(shell, Expander::Splitting::No);
  expander.expand(word);
  return expander.joined().text;
}

std::string expand_pattern(Shell& shell, const Word& word) {
  Expander expander(shell, Expander::Splitting::No);
  expander.expand(word);
  return expander.joined().pattern;
}

}  // namespace faultline::sh
