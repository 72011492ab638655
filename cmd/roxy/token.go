package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/internal/config"
)

func newToken() *cobra.Command {
	var (
		file, secretFile, tenant, user, id string
		roles, read, publish, write        []string
		expires                            time.Duration
		admin                              bool
	)
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make a token for development",
		Long: `token prints a JWT that a hub with the same secret accepts, signed with HS256. The secret is that of the first HS256
key of --config, or in --secret-file, or that of the development hub in ./data. It is for development and tests: in
production whoever knows your users issues tokens.`,
		Example: `  export ROXY_TOKEN=$(roxy token --config roxy.yaml --sub waiter-1 --roles waiter --expires 8h)`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			claims := auth.Claims{
				User: user, Tenant: tenant, Roles: roles, TokenID: id, IssuedAt: time.Now(), Expires: time.Now().Add(expires),
				Grant: roxy.Grant{Admin: admin},
			}
			var err error
			if claims.Grant.Read, err = patterns("--read", read); err != nil {
				return err
			}
			if claims.Grant.Publish, err = patterns("--publish", publish); err != nil {
				return err
			}
			if claims.Grant.Write, err = patterns("--write", write); err != nil {
				return err
			}
			secret, err := tokenSecret(file, secretFile, &claims)
			if err != nil {
				return err
			}
			token, err := auth.SignDevelopment(secret, claims)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "config", "", "configuration `FILE` whose first HS256 key signs")
	f.StringVar(&secretFile, "secret-file", "", "`FILE` with the secret that signs")
	f.StringVar(&user, "sub", "", "the user (required)")
	f.StringVar(&tenant, "tenant", "", "the tenant (default \"default\")")
	f.StringSliceVar(&roles, "roles", nil, "roles, separated by commas")
	f.StringSliceVar(&read, "read", nil, "patterns that the token itself lets read")
	f.StringSliceVar(&publish, "publish", nil, "patterns that the token itself lets publish on")
	f.StringSliceVar(&write, "write", nil, "patterns of the entities that the token itself lets write")
	f.BoolVar(&admin, "admin", false, "let the token use the operator's calls")
	f.DurationVar(&expires, "expires", 8*time.Hour, "how long it is good")
	f.StringVar(&id, "jti", "", "its id, to revoke it by")
	f.SortFlags = false
	cmd.MarkFlagsMutuallyExclusive("config", "secret-file")
	if err := cmd.MarkFlagRequired("sub"); err != nil {
		panic("BUG: " + err.Error())
	}
	return cmd
}

// tokenSecret returns what signs, and sets what else the configuration wants in a token.
func tokenSecret(file, secretFile string, claims *auth.Claims) ([]byte, error) {
	switch {
	case file != "":
		c, err := config.Load(config.Sources{File: file, Env: os.LookupEnv})
		if err != nil {
			return nil, err
		}
		claims.Issuer, claims.Audience = c.Auth.Issuer, c.Auth.Audience
		claims.TenantClaim, claims.RolesClaim = c.Auth.Claims.Tenant, c.Auth.Claims.Roles
		for _, k := range c.Keys {
			if k.Algorithm == "HS256" {
				return k.Secret, nil
			}
		}
		return nil, fmt.Errorf("%s has no HS256 key: only whoever holds the private key can sign", file)
	case secretFile != "":
		text, err := os.ReadFile(secretFile) //nolint:gosec // named by who runs the command
		if err != nil {
			return nil, err
		}
		return []byte(strings.TrimSpace(string(text))), nil
	}
	text, err := os.ReadFile(filepath.Join(string(config.Default().Data), developmentSecret))
	if err != nil {
		return nil, errors.New("no secret: give --config or --secret-file, or run this where a development hub (roxy serve) was started")
	}
	return text, nil
}

func patterns(flag string, words []string) ([]roxy.Pattern, error) {
	var list []roxy.Pattern
	for _, w := range words {
		p, err := roxy.ParsePattern(w)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		list = append(list, p)
	}
	return list, nil
}
