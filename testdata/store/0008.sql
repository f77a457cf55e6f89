INSERT INTO meta VALUES ('installation', '00112233445566778899aabbccddeeff');
INSERT INTO integrations VALUES ('acme-forge', 'scm', 'gitea', 'https://git.acme.dev', 'env://FORGE_TOKEN',
  '{"webhook_secret":"file:///etc/trueup/hook"}', 'platform', 1700000000000000000, 1700000000000000000);
INSERT INTO integration_healths VALUES ('acme-forge', 'degraded', 'a scope is missing', 1700000000000000000, 1700000000000000011, 42);
INSERT INTO events VALUES (1, 1700000000000000000, 'integration.created', 'integrations/acme-forge', '{"name":"acme-forge"}');
INSERT INTO notify_cursors VALUES ('0011', 1, 2, 1700000000000000012, 'it answered 503');
INSERT INTO projects (name, url, auth, tracked, config_path, disabled, created_at, integration, repository) VALUES ('shop', 'https://git.acme.dev/shop.git', 'env://SHOP_TOKEN', 'main', '.trueup.yml', 0, 1700000000000000000, 'acme-forge', 'acme/shop');
INSERT INTO projects (name, url, auth, tracked, config_path, disabled, created_at, integration, repository) VALUES ('blog', '/srv/blog', NULL, NULL, '.trueup.yml', 1, 1700000000000000001, NULL, NULL);
INSERT INTO environments VALUES ('shop', 'production', 'docker', '{"socket":"/var/run/docker.sock"}', NULL,
  '{"database-url":"file:///etc/trueup/database-url"}', '{"REGION":"eu"}', '["/srv/shop"]', 0, NULL, 1700000000000000002, NULL, 'names-only', 1, 1, 'sync');
INSERT INTO plans VALUES ('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'shop', 'production',
  '{"format":1,"environment":{"project":"shop","environment":"production"},"provider":"docker","reference":"main","commit":null,"options":{"services":null,"prune":false,"rollback_to":null},"actions":[],"unknowns":[],"orphans":[],"in_sync":["web"],"notes":[],"desired":{},"made_at":"2023-11-14T22:13:20Z","digest":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}',
  1700000000000000003);
UPDATE environments SET latest_plan = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa';
INSERT INTO services VALUES ('shop', 'production', 'web', '{"image":"registry.acme.dev/shop/web:1"}');
INSERT INTO reads VALUES ('shop', 'production', 'ok', NULL, '0123456789abcdef0123456789abcdef01234567', 1700000000000000004, NULL);
INSERT INTO read_refs VALUES ('shop', 'production', 'main', 'refs/heads/main', '0123456789abcdef0123456789abcdef01234567', '"v1.2.3"');
UPDATE projects SET user = 'alice' WHERE name = 'shop';
INSERT INTO runs VALUES (7, 'shop', 'production', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
  '0123456789abcdef0123456789abcdef01234567', 'sync', 'root (uid 0)', 'admin', 'succeeded', '1 service', 1700000000000000005, 1700000000000000006);
INSERT INTO journal VALUES (7, 1, 'web', '{"step":"prepare"}', '{"ok":true}', 1700000000000000005, 1700000000000000006);
INSERT INTO run_lines VALUES (7, 1, 1700000000000000005, 'web: started');
INSERT INTO bases VALUES ('shop', 'production', 'web',
  '{"leaves":{"env.LOG_LEVEL":{"value":{"type":"text","value":"info"},"written":"info"},"stopped":{"value":{"type":"flag","value":false},"written":""}},"commit":"0123456789abcdef0123456789abcdef01234567","run":7,"verified_at":"2023-11-14T22:13:20Z"}');
INSERT INTO releases SELECT project, environment, service, 7, body FROM bases;
INSERT INTO release_horizons VALUES ('shop', 'production', 'web', 3);
INSERT INTO drift_marks VALUES ('shop', 'production', 'web', 'env.LOG_LEVEL', 'live', 1700000000000000007);
INSERT INTO healths VALUES ('shop', 'production', 'web', '{"state":"healthy"}', '[{"name":"web-1","health":{"state":"healthy"}}]', 1700000000000000008);
INSERT INTO tokens VALUES ('ci', 'operator', x'0000000000000000000000000000000000000000000000000000000000000001', 1700000000000000009);
INSERT INTO audit VALUES (1, 1700000000000000010, 1700000000000000010, 1, 'root (uid 0)', 'configure', 'shop', 'allowed');
UPDATE projects SET webhook_secret = 'env://SHOP_WEBHOOK' WHERE name = 'shop';
INSERT INTO deliveries VALUES (4, 'github', 'shop', '72d3162e-cc78-11e3-81ab-4c9367dc0958', x'00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff', 2,
  '{"x-github-event":["ping"]}', 'done', NULL, 0, 1700000000000000008, 1700000000000000009, NULL);
INSERT INTO delivery_bodies VALUES (4, x'7b7d');
INSERT INTO deliveries VALUES (5, 'github', NULL, NULL, x'00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff', 1,
  '{}', 'set_aside', 'the header that names the event (X-GitHub-Event) is missing', 1, 1700000000000000010, 1700000000000000011, '["acme-forge"]');
INSERT INTO delivery_bodies VALUES (5, x'7b');
INSERT INTO pull_reports VALUES ('shop', 7,
  '{"project":"shop","number":7,"head":"0123456789abcdef0123456789abcdef01234567","target":"main","fork":false,"state":{"state":"open"},"environments":[]}',
  1700000000000000011);
INSERT INTO outbox (id, project, environment, pull, commit_id, kind, topic, payload, sha256, state, attempts, due_at,
  error, heard_at, created_at, ended_at)
  VALUES (3, 'shop', NULL, 7, '0123456789abcdef0123456789abcdef01234567', 'comment', 'comment shop #7 ',
  '{"kind":"comment","repository":"acme/shop","pull":7,"known_id":null,"marker":"<!-- m -->","body":"<!-- m -->"}', x'00',
  'waiting', 1, 1700000000000000012, 'it answered 503', 1700000000000000011, 1700000000000000011, NULL);
INSERT INTO posted VALUES ('comment shop #7 ', 'shop', '42', 'https://git.acme.dev/acme/shop/pulls/7', x'01', 1700000000000000011);
INSERT INTO pulls VALUES ('shop', 7, 'open', NULL, 1700000000000000011, 1700000000000000011, NULL, 0);
INSERT INTO drift_told VALUES ('shop', 'production', '[]', 1700000000000000012);
INSERT INTO heard VALUES ('shop', 1700000000000000009);
INSERT INTO forge_users VALUES ('acme-forge', '42', 'alice', 'operator', 1700000000000000011);
INSERT INTO comment_commands VALUES (3, 'shop', 'acme-forge', 'acme/shop', 7, 1001, 'running', 1700000000000000011,
  'alice (acme-forge user 42, comment 1001)', 'production', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 7,
  NULL, 1700000000000000011, NULL);
