package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"holdfast/internal/build"
	"holdfast/internal/config"
)

// app is what every command has at hand.
type app struct {
	*screen
	stdin io.Reader
	at    location
}

// cli is the tree of commands and what is known about the one that runs.
type cli struct {
	*app
	root    *cobra.Command
	started bool // the command line was understood and its command runs
}

// Groups of commands in the help.
const (
	groupOrders   = "orders"
	groupAccounts = "accounts"
	groupEvents   = "events"
	groupStack    = "stack"
	groupDatabase = "database"
	groupHere     = "here"
)

func newCLI(stdin io.Reader, stdout, stderr io.Writer) *cli {
	a := &app{screen: newScreen(stdout, stderr), stdin: stdin}
	root := &cobra.Command{
		Use:   "holdfast",
		Short: "Orders for contact data that charge only what was delivered valid",
		Long: `Holdfast processes orders for contact data. An order holds credits, verifies
its contacts, charges only what was delivered valid and gives the rest back,
exactly once, even when programs crash in between.

Start with "demo", which needs nothing but this program, or run "dev" in one
terminal and the other commands in a second one.

Commands find the API in this order: --url and --key, or HOLDFAST_URL and
HOLDFAST_API_KEY; the database of HOLDFAST_DATABASE_URL, on which they run the
same API in their own process; the stack that "dev" runs in this directory or
above it (--data-dir, HOLDFAST_DATA_DIR); the server of the last "login". Commands
under "On the database" need the database itself.`,
		Example: examples(
			"holdfast demo",
			"holdfast dev --leads 10000",
			"holdfast credits --url https://holdfast.example --key hf_3k5m7p"),
		Version:       build.Read().String(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("holdfast version {{.Version}}\n")
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagError(err) })
	flags := root.PersistentFlags()
	flags.BoolVar(&a.json, "json", false, "print the result as JSON on the standard output, and an error as JSON on the standard error")
	flags.StringVar(&a.at.url, "url", "", "address of the server; HOLDFAST_URL when left out")
	flags.StringVar(&a.at.key, "key", "", "API key; HOLDFAST_API_KEY when left out")
	flags.StringVar(&a.at.cell, "cell", "", "cell to work in, where there are several; for what is about no organization")
	flags.StringVar(&a.at.dataDir, "data-dir", "", "data directory of the dev stack; HOLDFAST_DATA_DIR or "+dataDir+" when left out")
	a.addCommands(root)
	c := &cli{app: a, root: root}
	c.noteStart(root)
	return c
}

// addCommands adds all commands by groups.
func (a *app) addCommands(root *cobra.Command) {
	for _, g := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{groupOrders, "Leads and orders:", []*cobra.Command{a.orderCommand(), a.leadsCommand(), a.listCommand(), a.suppressionCommand(), a.bouncesCommand()}},
		{groupAccounts, "Accounts and credits:", []*cobra.Command{
			a.orgCommand(), a.memberCommand(), a.keyCommand(), a.planCommand(), a.creditsCommand(), a.purchasesCommand(),
			a.reportCommand(), a.forgetCommand(), a.loginLinkCommand(), a.clockCommand(),
		}},
		{groupEvents, "Events:", []*cobra.Command{a.webhookCommand(), a.eventCommand(), a.listenCommand()}},
		{groupStack, "The stack:", []*cobra.Command{a.demoCommand(), a.devCommand(), a.serveCommand(), a.codecServerCommand()}},
		{groupDatabase, "On the database (HOLDFAST_DATABASE_URL, or a dev stack); so does order recover:", []*cobra.Command{
			a.migrateCommand(), a.importCommand(), a.auditCommand(), a.scheduleCommand(),
		}},
		{groupHere, "On this machine:", []*cobra.Command{a.loginCommand(), a.logoutCommand(), a.meCommand(), a.verifyCommand()}},
	} {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.id
			root.AddCommand(c)
		}
	}
	root.SetHelpCommandGroupID(groupHere)
	root.SetCompletionCommandGroupID(groupHere)
	root.InitDefaultCompletionCmd()
	completion, _, err := root.Find([]string{"completion"})
	if err != nil {
		return
	}
	completion.Example = examples("holdfast completion bash > /etc/bash_completion.d/holdfast")
	for _, shell := range completion.Commands() {
		shell.Example = examples("holdfast completion " + shell.Name())
	}
}

// flagError says what is wrong with the value of a flag in words of the command
// line.
func flagError(err error) error {
	var bad *pflag.InvalidValueError
	if !errors.As(err, &bad) {
		return err
	}
	wanted := map[string]string{
		"int": "a whole number", "int32": "a whole number", "int64": "a whole number",
		"duration": "a duration such as 10s or 5m", "bool": "true or false",
	}[bad.GetFlag().Value.Type()]
	name := "--" + bad.GetFlag().Name
	switch {
	case wanted != "" && strings.Contains(bad.Error(), "out of range"):
		return fmt.Errorf("%s %q is too large", name, bad.GetValue())
	case wanted != "":
		return fmt.Errorf("%s %q is not %s", name, bad.GetValue(), wanted)
	}
	return fmt.Errorf("%s %q is not known; %w", name, bad.GetValue(), bad.Unwrap())
}

// noteStart wraps every command so that an error before it runs is not taken
// for one it met: the first is wrong usage. Variables of the environment that
// look misspelt are named then.
func (c *cli) noteStart(cmd *cobra.Command) {
	if work := cmd.RunE; work != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			c.started = true
			for _, problem := range config.Misspelt() {
				c.note("%s", problem)
			}
			return work(cmd, args)
		}
	}
	for _, child := range cmd.Commands() {
		c.noteStart(child)
	}
}

// execute runs one command line.
func (c *cli) execute(ctx context.Context, args []string) error {
	c.root.SetArgs(args)
	cmd, err := c.root.ExecuteContextC(ctx)
	if err != nil && !c.started {
		// cobra adds suggestions on lines of their own; they fit into the sentence.
		text := strings.ReplaceAll(err.Error(), "\n\nDid you mean this?\n\t", "; did you mean ")
		text = strings.ReplaceAll(strings.TrimSpace(text), "\n\t", " or ")
		return usagef("%s; see %s --help", text, cmd.CommandPath())
	}
	return err
}

// group makes a command that only holds others. Its example is theirs.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	var lines []string
	for _, child := range children {
		first, _, _ := strings.Cut(child.Example, "\n")
		lines = append(lines, first)
	}
	cmd := &cobra.Command{
		Use:                   use,
		Short:                 short,
		Example:               strings.Join(lines, "\n"),
		DisableFlagsInUseLine: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("there is no command %q under %q", args[0], cmd.Name())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(children...)
	return cmd
}

// examples lists command lines for a command's help as they can be copied.
func examples(lines ...string) string {
	for i, line := range lines {
		before, call, _ := strings.Cut(line, "holdfast ")
		lines[i] = "  " + before + program() + " " + call
	}
	return strings.Join(lines, "\n")
}

// oneArgument demands exactly one argument and says which one is missing.
func oneArgument(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch len(args) {
		case 1:
			return nil
		case 0:
			return fmt.Errorf("%s is missing", what)
		default:
			return fmt.Errorf("there is more than %s: %q", what, args[1:])
		}
	}
}

// addOrgFlag adds the flag that names the organization a command is about.
func addOrgFlag(cmd *cobra.Command, org *string) {
	cmd.Flags().StringVar(org, "org", "", "organization; its own key's when left out")
}

// required marks flags that a command cannot do without.
func required(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		cmd.Flags().Lookup(name).Annotations = map[string][]string{cobra.BashCompOneRequiredFlag: {"true"}}
	}
}
