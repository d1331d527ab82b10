// The work behind expand.hpp: collects the fields of one word.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "user/bin/sh/shell.hpp"
#include "user/bin/sh/syntax.hpp"

namespace faultline::sh {

// A field under construction, both as text and as a pattern in which quoted characters are escaped.
struct Field {
  std::string text;
  std::string pattern;
  bool has_wildcard = false;
  bool present = false;  // an empty field that was quoted counts, others do not
};

class Expander {
 public:
  enum class Splitting { No, Yes };

  Expander(Shell& shell, Splitting splitting) : shell_(shell), splitting_(splitting == Splitting::Yes) {}

  void expand(const Word& word);
  // The fields so far; ends the last one.
  std::vector<Field>& finish();
  // All fields as one.
  Field joined();

 private:
  // The literal parts of ${x:-a b} are split, those of a plain word were by the lexer.
  void expand_parts(const Word& word, bool split_literals);
  void expand_literal(const WordPart& part, bool split_literals);
  void expand_tilde();
  void expand_parameter(const WordPart& part);
  void expand_all_arguments(const WordPart& part);
  void expand_command(const WordPart& part);
  void expand_arithmetic(const WordPart& part);
  void use_operand(const WordPart& part);
  void use_value(const std::string& value, bool quoted);
  std::optional<std::string> value_of(std::string_view name);
  std::string trimmed(const WordPart& part, const std::string& value);
  void fail_parameter(const WordPart& part);

  void add_quoted(std::string_view text);
  void add_unquoted(std::string_view text);
  void add_split(std::string_view text);
  void end_field();
  std::string separators() const { return shell_.variables.get_or("IFS", " \t\n"); }

  Shell& shell_;
  bool splitting_;
  std::vector<Field> fields_;
  Field field_;
  bool after_blank_ = false;      // a blank separator just ended a field: one other separator may follow
  bool empty_arguments_ = false;  // "$@" without arguments: then quotes around it make no field
};

// Runs a command substitution and returns what it printed, without the newlines at its end. Sets $?.
std::string command_output(Shell& shell, const List& program);

}  // namespace faultline::sh
