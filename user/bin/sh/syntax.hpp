// The syntax tree of the shell language: what the parser makes and the executor walks.
#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace faultline::sh {

struct List;
struct Word;

// ${name OP word}. The colon forms treat an empty value as an unset one.
enum class ParameterOperator {
  None,
  Default,      // ${x-word}
  Assign,       // ${x=word}
  Error,        // ${x?word}
  Alternative,  // ${x+word}
  Length,       // ${#x}
  // From here on the operand is a pattern.
  ShortestPrefix,  // ${x#pattern}
  LongestPrefix,   // ${x##pattern}
  ShortestSuffix,  // ${x%pattern}
  LongestSuffix,   // ${x%%pattern}
};

// A run of a word that is expanded in one way.
struct WordPart {
  enum class Kind { Literal, Tilde, Parameter, Command, Arithmetic };
  Kind kind = Kind::Literal;
  bool quoted = false;  // no splitting, no patterns
  std::string text;     // the literal characters or the parameter's name
  ParameterOperator operation = ParameterOperator::None;
  bool colon = false;
  std::unique_ptr<Word> operand;  // of a ParameterOperator, or the arithmetic expression
  std::shared_ptr<List> program;  // of a command substitution
};

struct Word {
  std::vector<WordPart> parts;
};

struct Redirection {
  enum class Kind { Read, Write, Append, ReadWrite, Duplicate, HereDocument, WriteBoth };
  Kind kind = Kind::Read;
  int fd = 0;  // the descriptor that is replaced
  // A path, a descriptor or "-" (Duplicate), or the text of a here-document. Never null; shared because
  // the lexer fills in a here-document only when it reaches the end of the line.
  std::shared_ptr<Word> target;
};

struct Assignment {
  std::string name;
  Word value;
};

struct SimpleCommand {
  std::vector<Assignment> assignments;
  std::vector<Word> words;
};

struct Subshell {
  std::unique_ptr<List> body;
};

struct Group {
  std::unique_ptr<List> body;
};

struct If {
  struct Branch {
    std::unique_ptr<List> condition;
    std::unique_ptr<List> body;
  };
  std::vector<Branch> branches;
  std::unique_ptr<List> otherwise;  // may be null
};

struct Loop {
  bool until = false;
  std::unique_ptr<List> condition;
  std::unique_ptr<List> body;
};

struct For {
  std::string variable;
  bool over_arguments = false;  // no `in`: the positional parameters
  std::vector<Word> words;
  std::unique_ptr<List> body;
};

struct Case {
  struct Branch {
    std::vector<Word> patterns;
    std::unique_ptr<List> body;
  };
  Word subject;
  std::vector<Branch> branches;
};

struct Command;

struct FunctionDefinition {
  std::string name;
  std::shared_ptr<Command> body;  // shared: a function may redefine itself while it runs
};

struct Command {
  std::variant<SimpleCommand, Subshell, Group, If, Loop, For, Case, FunctionDefinition> body;
  std::vector<Redirection> redirections;
};

struct Pipeline {
  bool negated = false;
  std::vector<Command> commands;
};

// pipeline && pipeline || pipeline …, evaluated from the left.
struct AndOr {
  enum class Connector { First, And, Or };
  struct Term {
    Connector connector = Connector::First;
    Pipeline pipeline;
  };
  std::vector<Term> terms;
  bool background = false;
  std::string source;  // as written, for `jobs`
};

struct List {
  std::vector<AndOr> items;
};

}  // namespace faultline::sh
