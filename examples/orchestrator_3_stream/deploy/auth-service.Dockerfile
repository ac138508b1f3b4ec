# The auth service. Built from the project's root folder: compose.yaml says how. The project's tests run the CMD below as
# a process; no test builds this image.
FROM node:24-alpine AS build
WORKDIR /app
COPY examples/orchestrator_3_stream/auth-service/ ./
RUN npm ci && npm run build && npm prune --omit=dev

FROM node:24-alpine
WORKDIR /app
ENV NODE_ENV=production HOST=0.0.0.0 AUTH_PORT=9404
COPY --from=build --chown=root:root /app/package.json ./
COPY --from=build --chown=root:root /app/node_modules ./node_modules
COPY --from=build --chown=root:root /app/dist ./dist
USER node
EXPOSE 9404
HEALTHCHECK --interval=10s --start-period=20s CMD ["node", "-e", "fetch('http://127.0.0.1:9404/health').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "dist/index.js"]
