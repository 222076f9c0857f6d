"""Single sign-on: a tenant's own identity provider (OpenID Connect) vouches for the tenant's own members.

The threat: a tenant's owner runs the provider and can have it assert anybody's e-mail address. So

- a session that it made is good for a seat in that tenant alone (`tenants.accounts.entrance`): no other tenant, no
  platform staff, none of the person's account pages;
- it finds its person by (provider, subject), or by a verified e-mail address that is a member of the tenant already; only
  where the owner says so do new people become viewers, and only from the named domains;
- looking a provider up by an e-mail address goes by membership, never by who claims a domain;
- each tenant has a redirect address of its own, and `state`, `nonce`, PKCE and the issuer bind an answer to its question;
- what the provider's documents name is fetched by `tenants.guarded_http`, so it leads to no private address.
"""
